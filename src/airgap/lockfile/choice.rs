//! A part of what a lock file locks: some of its groups, some of its extras. Pure.
//!
//! Owns which groups and extras a lock has, and what the lock would be without the others: a lock of the same format, so
//! that its reader need not know. Must not know what a lock's files are.

mod pdm;
mod pipfile;
mod poetry;
mod pylock;
#[cfg(test)]
mod tests;
mod uv;

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::kind::Kind;
use super::marker::{Narrowed, Variable};
use super::reading::{self, LockError};
use crate::simple::ProjectName;

/// What formats call the project's own dependencies, which no `--group` leaves out.
const OWN_GROUPS: [&str; 2] = ["main", "default"];

/// What `--no-dev` means.
const DEV_GROUPS: [&str; 2] = ["dev", "develop"];

/// What was asked for; the default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    groups: BTreeSet<String>,
    no_groups: BTreeSet<String>,
    extras: BTreeSet<String>,
    no_extras: BTreeSet<String>,
    no_dev: bool,
}

/// The groups and extras that a lock has beside the project's own dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    pub groups: BTreeSet<String>,
    pub extras: BTreeSet<String>,
}

impl Choice {
    pub fn new(
        groups: &[String],
        no_groups: &[String],
        extras: &[String],
        no_extras: &[String],
        no_dev: bool,
    ) -> Self {
        let names = |texts: &[String]| texts.iter().map(|text| normalised(text)).collect();
        Self {
            groups: names(groups),
            no_groups: names(no_groups),
            extras: names(extras),
            no_extras: names(no_extras),
            no_dev,
        }
    }

    /// Whether everything is meant.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Of several groups only those that are named, and never those that are named by the opposite.
    pub fn takes_group(&self, name: &str) -> bool {
        let name = normalised(name);
        let is_named = self.groups.is_empty() || self.groups.contains(&name);
        let is_dev = self.no_dev && DEV_GROUPS.contains(&name.as_str());
        let is_out = self.no_groups.contains(&name) || is_dev;
        !is_out && (is_named || OWN_GROUPS.contains(&name.as_str()))
    }

    pub fn takes_extra(&self, name: &str) -> bool {
        let name = normalised(name);
        !self.no_extras.contains(&name) && (self.extras.is_empty() || self.extras.contains(&name))
    }

    /// The names that no lock has: each with the option that gave it.
    pub fn unknown(&self, offered: &Offered) -> Vec<String> {
        let group = |name: &&String| !offered.groups.contains(*name) && !OWN_GROUPS.contains(&name.as_str());
        let extra = |name: &&String| !offered.extras.contains(*name);
        let groups = self.groups.iter().filter(group).map(|name| format!("--group {name}"));
        let no_groups = self.no_groups.iter().filter(group).map(|name| format!("--no-group {name}"));
        let extras = self.extras.iter().filter(extra).map(|name| format!("--extra {name}"));
        let no_extras = self.no_extras.iter().filter(extra).map(|name| format!("--no-extra {name}"));
        groups.chain(no_groups).chain(extras).chain(no_extras).collect()
    }

    /// Whether a marker's extra or group is certainly not installed; `literal` as the format writes it.
    fn is_out(&self, variable: Variable, literal: &str) -> bool {
        match variable {
            Variable::DependencyGroups => !self.takes_group(literal),
            Variable::Extra | Variable::Extras => !self.takes_extra(literal),
            _ => false,
        }
    }
}

impl Offered {
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.extras.is_empty()
    }

    pub fn extend(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.extras.extend(other.extras);
    }

    fn new<'n>(groups: impl IntoIterator<Item = &'n str>, extras: impl IntoIterator<Item = &'n str>) -> Self {
        let mut groups: BTreeSet<String> = groups.into_iter().map(normalised).collect();
        groups.retain(|name| !OWN_GROUPS.contains(&name.as_str()));
        Self { groups, extras: extras.into_iter().map(normalised).collect() }
    }
}

/// The groups and extras of a lock; none for a format that has none.
///
/// # Errors
/// Text that is not of its format.
pub fn offered(name: &str, text: &str) -> Result<Offered, LockError> {
    Ok(match Kind::of(name, text)? {
        Kind::Uv => uv::offered(&table(name, text)?),
        Kind::Pylock => pylock::offered(&table(name, text)?),
        Kind::Poetry => poetry::offered(&table(name, text)?),
        Kind::Pdm => pdm::offered(&table(name, text)?),
        Kind::Pipfile => pipfile::offered(name, text)?,
        Kind::Requirements => Offered::default(),
    })
}

/// The lock without what was not chosen.
///
/// # Errors
/// Text that is not of its format, a marker that is none.
pub fn narrowed(name: &str, text: &str, choice: &Choice) -> Result<String, LockError> {
    let kind = Kind::of(name, text)?;
    if choice.is_all() || kind == Kind::Requirements {
        return Ok(text.to_owned());
    }
    if kind == Kind::Pipfile {
        return pipfile::narrowed(name, text, choice);
    }
    let mut table = table(name, text)?;
    match kind {
        Kind::Uv => uv::narrow(&mut table, choice, name)?,
        Kind::Pylock => pylock::narrow(&mut table, choice, name)?,
        Kind::Poetry => poetry::narrow(&mut table, choice, name)?,
        Kind::Pdm => pdm::narrow(&mut table, choice),
        Kind::Pipfile | Kind::Requirements => {}
    }
    Ok(table.to_string())
}

fn table(name: &str, text: &str) -> Result<Table, LockError> {
    toml::from_str(text.trim_start_matches('\u{feff}')).map_err(|why| LockError::of_toml(name, text, &why))
}

/// Names of groups and extras are compared like those of projects (PEP 685, 735).
fn normalised(name: &str) -> String {
    ProjectName::parse(name).map_or_else(|_| name.to_ascii_lowercase(), |name| name.as_str().to_owned())
}

/// Takes out of a list of tables what `keep` does not want.
fn retain(
    table: &mut Table,
    key: &str,
    mut keep: impl FnMut(&mut Table) -> Result<bool, LockError>,
) -> Result<(), LockError> {
    let Some(Value::Array(items)) = table.get_mut(key) else { return Ok(()) };
    let mut kept = Vec::new();
    for mut item in std::mem::take(items) {
        let stays = item.as_table_mut().map_or(Ok(true), &mut keep)?;
        if stays {
            kept.push(item);
        }
    }
    *items = kept;
    Ok(())
}

/// The texts of a list.
fn texts<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t str> + use<'t> {
    table.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key).and_then(Value::as_str)
}

/// Narrows the marker under a key; false if it never holds.
fn narrow_marker(
    table: &mut Table,
    key: &str,
    is_out: &dyn Fn(Variable, &str) -> bool,
    place: &str,
) -> Result<bool, LockError> {
    let Some(marker) = reading::marker(text(table, key), place)? else { return Ok(true) };
    match marker.narrowed(is_out) {
        Narrowed::Never => return Ok(false),
        Narrowed::Always => drop(table.remove(key)),
        Narrowed::Where(left) if left != marker => {
            table.insert(key.to_owned(), Value::String(left.to_string()));
        }
        Narrowed::Where(_) => {}
    }
    Ok(true)
}
