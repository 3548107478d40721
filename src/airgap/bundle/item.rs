//! What follows the front of a bundle: its pages and blobs, and their names in the tar.
//!
//! Must not know how they are written.

use super::manifest::Manifest;
use crate::values::digest::Digest;

/// What follows the front of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The page of the manifest at this index.
    Page {
        index: usize,
        sha256: Digest,
        size: u64,
    },
    Blob {
        sha256: Digest,
        size: u64,
    },
    /// Records of advisories.
    Advisories {
        sha256: Digest,
        size: u64,
    },
}

impl Item {
    pub fn sha256(&self) -> Digest {
        match self {
            Self::Page { sha256, .. }
            | Self::Blob { sha256, .. }
            | Self::Advisories { sha256, .. } => *sha256,
        }
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Page { size, .. } | Self::Blob { size, .. } | Self::Advisories { size, .. } => {
                *size
            }
        }
    }

    pub fn is_blob(&self) -> bool {
        matches!(self, Self::Blob { .. })
    }

    /// Its name in the tar.
    pub fn name(&self) -> String {
        match self {
            Self::Page { sha256, index, .. } => format!("pages/{index:06}-{}.json", short(*sha256)),
            Self::Blob { sha256, .. } => {
                let hex = sha256.to_string();
                format!("blobs/sha256/{}/{hex}", hex.get(..2).unwrap_or_default())
            }
            Self::Advisories { .. } => "advisories.jsonl".to_owned(),
        }
    }
}

/// Enough of a digest to tell pages apart; the whole one is in the manifest.
fn short(digest: Digest) -> String {
    digest.to_string().get(..16).unwrap_or_default().to_owned()
}

/// What a part carries, in order; of all parts without a number.
pub fn items(manifest: &Manifest, part: Option<u32>) -> impl Iterator<Item = Item> + '_ {
    let pages = manifest.pages().iter().enumerate();
    let pages = pages.map(|(index, page)| Item::Page {
        index,
        sha256: page.sha256,
        size: page.size,
    });
    let mut advisories = None;
    if part.is_none() || part == Some(1) {
        advisories = manifest.advisories();
    }
    let advisories = advisories.map(|line| Item::Advisories {
        sha256: line.sha256,
        size: line.size,
    });
    let blobs = manifest.blobs().iter();
    let blobs = blobs.filter(move |blob| part.is_none() || blob.part == part);
    pages.chain(advisories).chain(blobs.map(|blob| Item::Blob {
        sha256: blob.sha256,
        size: blob.size,
    }))
}
