//! What lock files name: one pure file for each format, all giving a [`Reading`].
//!
//! [`read`] for a file or stdin, [`read_name`] for what stands on a command line. Only the fields that are needed are looked
//! at; unknown ones are ignored, unknown versions are errors that say so. Nothing is resolved. Must not know the disk, the
//! network, or what an index has.

mod choice;
mod constraints;
mod coverage;
mod foreign;
mod kind;
mod line;
pub mod marker;
mod pdm;
mod pipfile;
mod poetry;
mod pylock;
mod reach;
mod reading;
mod releases;
mod requirement;
mod requirements;
mod surroundings;
#[cfg(test)]
mod tests;
mod text;
mod uv;

pub use choice::{Choice, Offered, narrowed, offered};
pub use coverage::{Coverage, coverage};
pub use kind::Kind;
pub use reading::{LeftOut, LockError, Origin, Reading, Uncompared, Unlocked};
pub use surroundings::Surroundings;
pub use text::decode;

/// Reads an input; `name` is its path as it was given (`-` for stdin), for telling its format, for reports, and for finding the
/// files that it names.
///
/// # Errors
/// Text that is not of its format, a version of it that is not known, a marker that is none, a nested file that cannot be
/// read; each with its place.
pub fn read(
    name: &str,
    text: &str,
    surroundings: &mut Surroundings<'_>,
) -> Result<Reading, LockError> {
    match Kind::of(name, text)? {
        Kind::Uv => uv::read(name, text),
        Kind::Pylock => pylock::read(name, text),
        Kind::Poetry => poetry::read(name, text),
        Kind::Pdm => pdm::read(name, text),
        Kind::Pipfile => pipfile::read(name, text),
        Kind::Requirements => requirements::read(name, text, surroundings),
    }
}

/// Reads a bare name, as `anvil`, `anvil==1.2` or `anvil>=1,<2`; `place` is what reports call it.
///
/// # Errors
/// Text that is no requirement of PEP 508.
pub fn read_name(text: &str, place: &str) -> Result<Reading, LockError> {
    requirements::read_one(text, place)
}
