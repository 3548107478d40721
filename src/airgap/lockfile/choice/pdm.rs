//! `pdm.lock`: each package says which groups need it; extras are among the groups.

use toml::{Table, Value};

use super::asked::{Choice, Offered};
use super::lists::texts;

pub(super) fn offered(lock: &Table) -> Offered {
    let packages = lock
        .get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    Offered::new(
        packages
            .filter_map(Value::as_table)
            .flat_map(|package| texts(package, "groups")),
        [],
    )
}

/// A package that does not say is everybody's.
pub(super) fn narrow(lock: &mut Table, choice: &Choice) {
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
