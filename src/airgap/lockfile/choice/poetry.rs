//! `poetry.lock`: each package says which groups need it (2.x; `category` in 1.x); an optional one
//! is brought by extras, which name the packages that they begin with.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::asked::{GroupChoice, OfferedGroups, normalised};
use super::lists::{narrow_marker, retain, text, texts};
use crate::airgap::lockfile::contents::LockError;
use crate::airgap::lockfile::marker::MarkerVariable;

pub(super) fn offered(lock: &Table) -> OfferedGroups {
    let extras = lock
        .get("extras")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let groups = packages(lock).flat_map(|package| {
        let category = if package.contains_key("groups") {
            None
        } else {
            text(package, "category")
        };
        texts(package, "groups").chain(category)
    });
    OfferedGroups::new(groups, extras.map(|(name, _)| name.as_str()))
}

pub(super) fn narrow(lock: &mut Table, choice: &GroupChoice, place: &str) -> Result<(), LockError> {
    let wanted = wanted(lock, choice);
    let is_out = |variable: MarkerVariable, literal: &str| choice.is_out(variable, literal);
    retain(lock, "package", |package| {
        if is_of_extras(package)
            && !text(package, "name").is_some_and(|name| wanted.contains(&normalised(name)))
        {
            return Ok(false);
        }
        let category = text(package, "category").filter(|_| !package.contains_key("groups"));
        if category.is_some_and(|group| !choice.takes_group(group)) {
            return Ok(false);
        }
        if package.get("markers").is_some_and(Value::is_str)
            && !narrow_marker(package, "markers", &is_out, place)?
        {
            return Ok(false);
        }
        narrow_groups(package, choice, place)
    })
}

/// Leaves of the groups, and of their markers, those that are chosen; false if none is left.
fn narrow_groups(
    package: &mut Table,
    choice: &GroupChoice,
    place: &str,
) -> Result<bool, LockError> {
    let is_out = |variable: MarkerVariable, literal: &str| choice.is_out(variable, literal);
    let groups: Vec<String> = texts(package, "groups").map(str::to_owned).collect();
    if groups.is_empty() {
        return Ok(true);
    }
    let mut left = Vec::new();
    for group in groups {
        let markers = package.get_mut("markers").and_then(Value::as_table_mut);
        let may_hold = match markers {
            Some(markers) if choice.takes_group(&group) => {
                narrow_marker(markers, &group, &is_out, place)?
            }
            Some(_) | None => choice.takes_group(&group),
        };
        if may_hold {
            left.push(Value::String(group));
        } else if let Some(markers) = package.get_mut("markers").and_then(Value::as_table_mut) {
            markers.remove(&group);
        }
    }
    // A table without any marker says nothing.
    if package
        .get("markers")
        .and_then(Value::as_table)
        .is_some_and(Table::is_empty)
    {
        package.remove("markers");
    }
    let is_needed = !left.is_empty();
    package.insert("groups".to_owned(), Value::Array(left));
    Ok(is_needed)
}

/// Whether nothing but extras brings it.
fn is_of_extras(package: &Table) -> bool {
    let is_optional = package
        .get("optional")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    is_optional && texts(package, "groups").all(|group| group == "main")
}

/// The packages that the chosen extras name, and the ones that are not optional, with all that
/// these depend on.
fn wanted(lock: &Table, choice: &GroupChoice) -> BTreeSet<String> {
    let extras = lock.get("extras").and_then(Value::as_table);
    let chosen = extras
        .into_iter()
        .flatten()
        .filter(|(extra, _)| choice.takes_extra(extra));
    let named = chosen
        .filter_map(|(_, packages)| packages.as_array())
        .flatten()
        .filter_map(Value::as_str);
    // Older ones write a requirement here: `six (>=1.0)`.
    let mut open: Vec<String> = named
        .filter_map(|requirement| requirement.split([' ', '(', '[', ';']).next())
        .map(normalised)
        .collect();
    for package in packages(lock) {
        open.extend(
            text(package, "name")
                .filter(|_| !is_of_extras(package))
                .map(normalised),
        );
    }
    let mut wanted = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !wanted.insert(name.clone()) {
            continue;
        }
        let named = packages(lock)
            .filter(|package| text(package, "name").is_some_and(|own| normalised(own) == name));
        for dependencies in named.filter_map(|package| package.get("dependencies")?.as_table()) {
            open.extend(dependencies.keys().map(|name| normalised(name)));
        }
    }
    wanted
}

fn packages(lock: &Table) -> impl Iterator<Item = &Table> {
    lock.get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
}
