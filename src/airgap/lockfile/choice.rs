//! A part of what a lock file locks: some of its groups, some of its extras. Pure.
//!
//! Owns what the lock would be without the others: a lock of the same format, so that its reader need not know. Must not know
//! what a lock's files are.

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

pub use self::asked::{Choice, Offered};
use super::kind::Kind;
use super::reading::LockError;

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
    toml::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|why| LockError::of_toml(name, text, &why))
}
