//! A part of what a lock file locks: some of its groups, some of its extras. Pure.
//!
//! Owns what the lock would be without the others: a lock of the same format, so that its reader
//! need not know. Must not know what a lock's files are.

mod asked;
mod lists;
mod pdm;
mod pipfile;
mod poetry;
mod pylock;
#[cfg(test)]
mod tests;
mod uv;

use toml::Table;

pub use self::asked::{GroupChoice, OfferedGroups};
use super::contents::{self, LockError};
use super::format::LockFormat;

/// The groups and extras of a lock; none for a format that has none.
///
/// # Errors
/// Text that is not of its format.
pub fn offered(name: &str, text: &str) -> Result<OfferedGroups, LockError> {
    Ok(match LockFormat::of(name, text)? {
        LockFormat::Uv => uv::offered(&table(name, text)?),
        LockFormat::Pylock => pylock::offered(&table(name, text)?),
        LockFormat::Poetry => poetry::offered(&table(name, text)?),
        LockFormat::Pdm => pdm::offered(&table(name, text)?),
        LockFormat::Pipfile => pipfile::offered(name, text)?,
        LockFormat::Requirements => OfferedGroups::default(),
    })
}

/// The lock without what was not chosen.
///
/// # Errors
/// Text that is not of its format, a marker that is none.
pub fn narrowed(name: &str, text: &str, choice: &GroupChoice) -> Result<String, LockError> {
    let kind = LockFormat::of(name, text)?;
    if choice.is_all() || kind == LockFormat::Requirements {
        return Ok(text.to_owned());
    }
    if kind == LockFormat::Pipfile {
        return pipfile::narrowed(name, text, choice);
    }
    let mut table = table(name, text)?;
    match kind {
        LockFormat::Uv => uv::narrow(&mut table, choice, name)?,
        LockFormat::Pylock => pylock::narrow(&mut table, choice, name)?,
        LockFormat::Poetry => poetry::narrow(&mut table, choice, name)?,
        LockFormat::Pdm => pdm::narrow(&mut table, choice)?,
        LockFormat::Pipfile | LockFormat::Requirements => {}
    }
    Ok(table.to_string())
}

fn table(name: &str, text: &str) -> Result<Table, LockError> {
    contents::from_toml(name, text.trim_start_matches('\u{feff}'))
}
