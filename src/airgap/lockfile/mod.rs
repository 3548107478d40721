//! What lock files name: one pure file for each format, all giving a [`LockContents`].
//!
//! [`read`] for a file or stdin, [`read_name`] for what stands on a command line. Only the fields
//! that are needed are looked at; unknown ones are ignored, unknown versions are errors that say
//! so. Nothing is resolved. Must not know the disk, the network, or what an index has.

mod choice;
mod constraints;
mod contents;
mod coverage;
mod foreign;
mod format;
mod locked_file;
pub mod marker;
mod pdm;
mod pipfile;
mod poetry;
mod pylock;
mod reach;
mod releases;
mod requirement;
mod requirements;
mod requirements_line;
mod surroundings;
#[cfg(test)]
mod tests;
mod text;
mod uv;

pub use choice::{GroupChoice, OfferedGroups, narrowed, offered};
pub use contents::{
    LockContents, LockError, NonIndexPackage, NonIndexSource, Uncompared, Unlocked,
};
pub use coverage::{Coverage, coverage};
pub use format::LockFormat;
pub use surroundings::Surroundings;
pub use text::decode;

/// Reads an input; `name` is its path as it was given (`-` for stdin), for telling its format, for
/// reports, and for finding the files that it names.
///
/// # Errors
/// Text that is not of its format, a version of it that is not known, a marker that is none, a nested file that cannot be
/// read; each with its place.
pub fn read(
    name: &str,
    text: &str,
    surroundings: &mut Surroundings<'_>,
) -> Result<LockContents, LockError> {
    match LockFormat::of(name, text)? {
        LockFormat::Uv => uv::read(name, text),
        LockFormat::Pylock => pylock::read(name, text),
        LockFormat::Poetry => poetry::read(name, text),
        LockFormat::Pdm => pdm::read(name, text),
        LockFormat::Pipfile => pipfile::read(name, text),
        LockFormat::Requirements => requirements::read(name, text, surroundings),
    }
}

/// Reads a bare name, as `anvil`, `anvil==1.2` or `anvil>=1,<2`; `place` is what reports call it.
///
/// # Errors
/// Text that is no requirement of PEP 508.
pub fn read_name(text: &str, place: &str) -> Result<LockContents, LockError> {
    requirements::read_one(text, place)
}
