//! The bundle: what is carried across the gap, as one streamable tar.
//!
//! ```text
//! bundle.json             what this is: format, id, base, set, part, totals
//! manifest.jsonl          a JSON line for each file, page and blob
//! contents.sha256         every entry that follows, as `sha256sum -c` reads it
//! manifest.sha256         the three above, as `sha256sum -c` reads it
//! manifest.sha256.sig     optional: SSHSIG over manifest.sha256, as `ssh-keygen -Y verify -n larder` reads it
//! pages/<n>-<hex>.json    PEP 691 pages, with larder's own root-relative addresses
//! advisories.jsonl        optional, in the first part: records of the OSV schema, one on each line
//! blobs/sha256/ab/<hex>   files and metadata by content, each once, in the order of their digests
//! ```
//!
//! It is an uncompressed ustar and canonical: the manifest decides every header and every padding
//! byte, so that the reader compares each, and no name in the tar is ever used as a path. Nothing
//! is compressed: wheels and archives are already, and so there is no decoder on the way in. A
//! delta has the whole manifest and only the blobs that its base has not; a part of a split bundle
//! has the whole manifest and all pages, and says which blobs are in which part.
//!
//! To an OCI image layout it maps entry by entry: `blobs/sha256/ab/<hex>` is that layout's
//! `blobs/sha256/<hex>`, the manifest would be the config blob, and each file a layer titled with
//! its name.
//!
//! Pure: bytes in, bytes out. Must not know the store, callers, or how bytes travel.

mod archive;
mod description;
mod error;
mod item;
mod manifest;
mod parts;
mod reader;
mod sums;
mod writer;

pub use description::{Description, Part};
pub use error::BundleError;
pub use item::{Item, items};
pub use manifest::{AdvisoriesLine, BlobLine, FileLine, Manifest, MetadataLine, PageLine};
pub use parts::{PartError, assign};
pub use reader::{BundleReader, VerifiedFront};
pub use writer::{BundlePlan, BundleWriter, Front};

/// The one version of the format.
pub const FORMAT: u32 = 1;

/// Name under which a bundle is signed (`ssh-keygen -n`).
pub const NAMESPACE: &str = "larder";

const DESCRIPTION: &str = "bundle.json";
const MANIFEST: &str = "manifest.jsonl";
const CONTENTS: &str = "contents.sha256";
const SUMS: &str = "manifest.sha256";
const SIGNATURE: &str = "manifest.sha256.sig";

/// Largest description, in bytes.
const DESCRIPTION_BYTES_MAX: u64 = 64 << 10;

/// Largest manifest, in bytes; it is held in memory.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Largest list of contents, in bytes.
const CONTENTS_BYTES_MAX: u64 = 256 << 20;

/// Largest signature, in bytes.
const SIGNATURE_BYTES_MAX: u64 = 16 << 10;

/// Largest page, in bytes; it is held in memory when it is merged.
const PAGE_BYTES_MAX: u64 = 64 << 20;

/// Longest line of a manifest, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Most lines of a manifest.
const LINES_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests;
