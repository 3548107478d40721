//! `pdm.lock`: each package says which groups need it; extras are among the groups.

use toml::{Table, Value};

use super::asked::{GroupChoice, OfferedGroups};
use super::lists::texts;

pub(super) fn offered(lock: &Table) -> OfferedGroups {
    let packages = lock
        .get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    OfferedGroups::new(
        packages
            .filter_map(Value::as_table)
            .flat_map(|package| texts(package, "groups")),
        [],
    )
}

/// A package that does not say is everybody's.
pub(super) fn narrow(lock: &mut Table, choice: &GroupChoice) {
    let Some(Value::Array(packages)) = lock.get_mut("package") else {
        return;
    };
    packages.retain(|package| {
        let groups = package
            .as_table()
            .filter(|package| package.contains_key("groups"));
        groups.is_none_or(|package| texts(package, "groups").any(|group| choice.takes_group(group)))
    });
}
