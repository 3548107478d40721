//! `pylock.toml` (PEP 751): markers with `extras` and `dependency_groups`.

use toml::Table;

use super::asked::{GroupChoice, OfferedGroups, normalised};
use super::lists::{narrow_marker, retain, texts};
use crate::airgap::lockfile::contents::LockError;
use crate::airgap::lockfile::marker::MarkerVariable;

/// The default groups are the project's own dependencies, whatever they are called.
pub fn offered(lock: &Table) -> OfferedGroups {
    let mut offered = OfferedGroups::new(texts(lock, "dependency-groups"), texts(lock, "extras"));
    for own in texts(lock, "default-groups") {
        offered.groups.remove(&normalised(own));
    }
    offered
}

pub fn narrow(lock: &mut Table, choice: &GroupChoice, place: &str) -> Result<(), LockError> {
    let own: Vec<String> = texts(lock, "default-groups").map(normalised).collect();
    let is_out = |variable: MarkerVariable, literal: &str| {
        let is_own =
            variable == MarkerVariable::DependencyGroups && own.contains(&normalised(literal));
        !is_own && choice.is_out(variable, literal)
    };
    retain(lock, "packages", |package| {
        narrow_marker(package, "marker", &is_out, place)
    })
}
