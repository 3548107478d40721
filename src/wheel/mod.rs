//! What a wheel's archive says about it: finds and unpacks its `METADATA`, or refuses.
//!
//! An archive that two readers could understand in two ways is refused here, because what is found
//! is advertised to installers as the wheel's own word (PEP 658), and they read the wheel with
//! other readers. Owns: equal versions (PEP 440), the zip records that matter (APPNOTE 6.3), and
//! the order in which a reader asks for bytes ([`MetadataReader`]). Every number in an archive is a
//! claim of the archive's author: nothing is allocated by it, and each is compared with its twin.
//!
//! Pure: bytes are asked for and given, so that a file on disk and range reads over the network are
//! read by the same rules. No zip crate reads here: they are made to be lenient, and take one of
//! two readings where larder must refuse both (two directories, overlapping members, bytes before
//! or after the archive). Must not know where they come from, whether they were verified, or what
//! becomes of the metadata.

mod directory;
mod directory_entry;
mod end;
mod extra;
mod fields;
mod identity;
mod member;
mod metadata;
mod reader;
mod requirements;
#[cfg(test)]
mod tests;
mod unreadable;
mod version;

pub use reader::{MetadataProgress, MetadataReader, TAIL_BYTES, extract};
pub use requirements::required_projects;
pub use unreadable::UnreadableWheel;
