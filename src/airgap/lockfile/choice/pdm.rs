//! `pdm.lock`: each package says which groups need it; extras are among the groups.

use toml::Table;

use super::asked::{GroupChoice, OfferedGroups};
use super::lists::{retain, tables, texts};
use crate::airgap::lockfile::contents::LockError;

pub fn offered(lock: &Table) -> OfferedGroups {
    let packages = tables(lock, "package");
    let groups = packages.flat_map(|package| texts(package, "groups"));
    OfferedGroups::new(groups, [])
}

/// A package that does not say belongs to every group.
pub fn narrow(lock: &mut Table, choice: &GroupChoice) -> Result<(), LockError> {
    retain(lock, "package", |package| {
        let mut groups = texts(package, "groups");
        let is_taken = groups.any(|group| choice.takes_group(group));
        Ok(is_taken || !package.contains_key("groups"))
    })
}
