//! `poetry.lock`: each package says which groups need it (2.x; `category` in 1.x); an optional one
//! is brought by extras, which name the packages that they begin with.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::asked::{GroupChoice, OfferedGroups, normalised};
use super::lists::{keys, narrow_marker, retain, tables, text, texts};
use crate::airgap::lockfile::contents::LockError;

pub fn offered(lock: &Table) -> OfferedGroups {
    let mut groups = Vec::new();
    for package in tables(lock, "package") {
        groups.extend(texts(package, "groups"));
        groups.extend(category(package));
    }
    OfferedGroups::new(groups, keys(lock, "extras"))
}

/// The one group of a package that does not say its groups.
fn category(package: &Table) -> Option<&str> {
    if package.contains_key("groups") {
        return None;
    }
    text(package, "category")
}

pub fn narrow(lock: &mut Table, choice: &GroupChoice, place: &str) -> Result<(), LockError> {
    let wanted = wanted(lock, choice);
    retain(lock, "package", |package| {
        if is_of_extras(package) && !wanted.contains(&name(package)) {
            return Ok(false);
        }
        if let Some(group) = category(package)
            && !choice.takes_group(group)
        {
            return Ok(false);
        }
        Ok(narrow_own_marker(package, "markers", choice, place)?
            && narrow_groups(package, choice, place)?)
    })
}

fn narrow_own_marker(
    table: &mut Table,
    key: &str,
    choice: &GroupChoice,
    place: &str,
) -> Result<bool, LockError> {
    let is_out = |variable, literal: &str| choice.is_out(variable, literal);
    narrow_marker(table, key, &is_out, place)
}

/// Leaves of the groups, and of their markers, those that are chosen; false if none is left.
fn narrow_groups(
    package: &mut Table,
    choice: &GroupChoice,
    place: &str,
) -> Result<bool, LockError> {
    let groups: Vec<String> = texts(package, "groups").map(str::to_owned).collect();
    if groups.is_empty() {
        return Ok(true);
    }
    let mut left = Vec::new();
    let mut markers = package.get_mut("markers").and_then(Value::as_table_mut);
    for group in groups {
        let mut may_hold = choice.takes_group(&group);
        if let Some(markers) = &mut markers {
            may_hold = may_hold && narrow_own_marker(markers, &group, choice, place)?;
            if !may_hold {
                markers.remove(&group);
            }
        }
        if may_hold {
            left.push(Value::String(group));
        }
    }
    // A table without any marker says nothing.
    if markers.is_some_and(|markers| markers.is_empty()) {
        package.remove("markers");
    }
    let is_needed = !left.is_empty();
    package.insert("groups".to_owned(), Value::Array(left));
    Ok(is_needed)
}

/// Whether nothing but extras brings it.
fn is_of_extras(package: &Table) -> bool {
    let is_optional = package.get("optional") == Some(&Value::Boolean(true));
    is_optional && texts(package, "groups").all(|group| group == "main")
}

fn name(package: &Table) -> String {
    normalised(text(package, "name").unwrap_or_default())
}

/// The packages that the chosen extras name, and the ones that are not optional, with all that
/// these depend on.
fn wanted(lock: &Table, choice: &GroupChoice) -> BTreeSet<String> {
    let mut open = Vec::new();
    if let Some(Value::Table(extras)) = lock.get("extras") {
        for extra in extras.keys() {
            if choice.takes_extra(extra) {
                open.extend(texts(extras, extra).map(required));
            }
        }
    }
    for package in tables(lock, "package") {
        if !is_of_extras(package) {
            open.push(name(package));
        }
    }
    let mut wanted = BTreeSet::new();
    while let Some(next) = open.pop() {
        if wanted.contains(&next) {
            continue;
        }
        for package in tables(lock, "package") {
            if name(package) == next {
                open.extend(keys(package, "dependencies").into_iter().map(normalised));
            }
        }
        wanted.insert(next);
    }
    wanted
}

/// What an extra names: older locks write a requirement there, as `six (>=1.0)`.
fn required(text: &str) -> String {
    normalised(text.split([' ', '(', '[', ';']).next().unwrap_or_default())
}
