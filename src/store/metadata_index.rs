//! Which metadata (PEP 658) was made of which wheel: one line in cacache's index for each, its
//! bytes a blob like others.
//!
//! A fact belongs to an *address*, as in the catalogue: GitLab does not check the sha256 that an
//! uploader declares, so a second address of the same digest must have yielded the wheel itself
//! before anything of it is shown there. It is either verified (made from a wheel whose bytes had
//! the promised sha256) or only read (from spans of it upstream); the verified one counts, whatever
//! was read. A fact outlives its bytes: they may be evicted and made again. Must not know callers
//! or archives.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::folder::Folder;
use super::index;
use super::layout::Layout;
use super::lookup_cache::LookupCache;
use crate::registry::FileRef;
use crate::values::digest::Digest;

/// Wheels about which it is remembered what is known, or that nothing is; the rest are looked up on
/// disk.
const REMEMBERED_MAX: u64 = 65_536;

/// What a wheel's key in the index begins with.
const KEY_PREFIX: &str = "metadata ";

/// A wheel's address in sixteen bytes, for pages that list thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WheelMark([u8; 16]);

impl WheelMark {
    pub fn of(file: &FileRef) -> Self {
        let digest = Digest::of(file.path().as_bytes());
        let mut mark = [0; 16];
        mark.copy_from_slice(&digest.as_bytes()[..16]);
        Self(mark)
    }
}

/// What a wheel's metadata was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataOrigin {
    /// From bytes that had the wheel's sha256.
    Verified,
    /// From spans that upstream sent, whose sha256 could not be checked.
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    pub metadata: Digest,
    pub origin: MetadataOrigin,
}

/// A fact's words in the index; the metadata's digest is the line's integrity.
#[derive(Serialize, Deserialize)]
struct MetadataRecord {
    verified: bool,
}

pub struct MetadataIndex {
    folder: Arc<Folder>,
    remembered: LookupCache<WheelMark, Option<Fact>>,
    /// One change at a time: a fact is compared with the one it replaces.
    changing: Mutex<()>,
}

impl MetadataIndex {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            remembered: LookupCache::new(REMEMBERED_MAX),
            changing: Mutex::default(),
        }
    }

    /// The digest of the metadata that was made of this wheel. Blocks when it has to look on the
    /// disk.
    pub fn find(&self, wheel: WheelMark) -> Option<Digest> {
        self.fact(wheel).map(|fact| fact.metadata)
    }

    /// The same, if it was made of bytes that had the wheel's sha256. Blocks likewise.
    pub fn find_verified(&self, wheel: WheelMark) -> Option<Digest> {
        let fact = self.fact(wheel)?;
        match fact.origin {
            MetadataOrigin::Verified => Some(fact.metadata),
            MetadataOrigin::Read => None,
        }
    }

    /// Moves whenever [`Self::find`] may give another answer than before.
    pub fn generation(&self) -> u64 {
        self.remembered.generation()
    }

    pub(super) fn fact(&self, wheel: WheelMark) -> Option<Fact> {
        if let Some(known) = self.remembered.get(&wheel) {
            return known;
        }
        let before = self.generation();
        match read(&self.folder.layout, wheel) {
            Ok(found) => {
                self.remembered.remember(wheel, found, before);
                found
            }
            Err(why) => {
                tracing::warn!(error = %why, "cannot look up a wheel's metadata");
                None
            }
        }
    }

    /// Records that this metadata, whose bytes are stored, was made of this wheel. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub(super) fn record(
        &self,
        wheel: WheelMark,
        metadata: Digest,
        bytes: u64,
        origin: MetadataOrigin,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.changing.lock();
        let fact = Fact { metadata, origin };
        let known = self.fact(wheel);
        match known {
            Some(known) if known == fact => return Ok(()),
            Some(Fact {
                origin: MetadataOrigin::Verified,
                ..
            }) if origin == MetadataOrigin::Read => return Ok(()),
            Some(known) if known.metadata != metadata => {
                tracing::error!(old = %known.metadata, new = %metadata, ?origin, "a wheel's metadata differs from what was read before");
            }
            _ => {}
        }
        let _writing = self.folder.maintenance.enter(Some(metadata));
        let line = MetadataRecord {
            verified: origin == MetadataOrigin::Verified,
        };
        let layout = &self.folder.layout;
        index::insert(layout, &key(wheel), metadata, bytes, None, &line)?;
        let shows = known.is_none_or(|known| known.metadata != metadata);
        self.remembered.change(wheel, Some(Some(fact)), shows);
        Ok(())
    }

    /// Forgets what was known of this wheel: its verified bytes have no metadata. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn retract(&self, wheel: WheelMark) -> Result<(), StoreError> {
        let _one_at_a_time = self.changing.lock();
        let Some(known) = self.fact(wheel) else {
            return Ok(());
        };
        tracing::error!(metadata = %known.metadata, "the metadata of a wheel is withdrawn: the verified wheel has none");
        self.delete(wheel)
    }

    /// Forgets what was known of this wheel, because it is cleared away. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub(super) fn forget(&self, wheel: WheelMark) -> Result<(), StoreError> {
        let _one_at_a_time = self.changing.lock();
        self.delete(wheel)
    }

    fn delete(&self, wheel: WheelMark) -> Result<(), StoreError> {
        let _writing = self.folder.maintenance.enter(None);
        index::delete(&self.folder.layout, &key(wheel))?;
        self.remembered.change(wheel, Some(None), true);
        Ok(())
    }
}

/// What the index says of a wheel. Blocks.
pub fn read(layout: &Layout, wheel: WheelMark) -> Result<Option<Fact>, StoreError> {
    let Some(found) = index::find(layout, &key(wheel))? else {
        return Ok(None);
    };
    let line: Option<MetadataRecord> = found.says();
    Ok(line.map(|line| Fact {
        metadata: found.digest,
        origin: if line.verified {
            MetadataOrigin::Verified
        } else {
            MetadataOrigin::Read
        },
    }))
}

/// The wheel that a key of the index is about.
pub fn wheel_of(key: &str) -> Option<WheelMark> {
    let hex = key.strip_prefix(KEY_PREFIX).filter(|hex| hex.len() == 32)?;
    Some(WheelMark(u128::from_str_radix(hex, 16).ok()?.to_be_bytes()))
}

fn key(wheel: WheelMark) -> String {
    format!("{KEY_PREFIX}{:032x}", u128::from_be_bytes(wheel.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    const WHEEL: WheelMark = WheelMark([7; 16]);

    fn at(dir: &std::path::Path) -> Result<MetadataIndex, StoreError> {
        Ok(MetadataIndex::new(Folder::new(Layout::make(dir)?, 0)))
    }

    #[test]
    fn what_is_known_survives_and_moves_the_generation() -> Checked {
        let dir = tempfile::tempdir()?;
        let one = Digest::of(b"one");
        let other = Digest::of(b"other");
        let metadata_index = at(dir.path())?;
        assert_eq!(
            (metadata_index.find(WHEEL), metadata_index.generation()),
            (None, 0)
        );
        metadata_index.record(WHEEL, one, 3, MetadataOrigin::Read)?;
        assert_eq!(
            (metadata_index.find(WHEEL), metadata_index.generation()),
            (Some(one), 1)
        );
        metadata_index.record(WHEEL, one, 3, MetadataOrigin::Read)?;
        assert_eq!(metadata_index.generation(), 1, "nothing changed");
        assert_eq!(
            metadata_index.find(WheelMark([8; 16])),
            None,
            "another address"
        );
        assert_eq!(at(dir.path())?.find(WHEEL), Some(one), "after a restart");

        metadata_index.record(WHEEL, one, 3, MetadataOrigin::Verified)?;
        assert_eq!(metadata_index.generation(), 1, "the same, now verified");
        metadata_index.record(WHEEL, other, 5, MetadataOrigin::Verified)?;
        metadata_index.record(WHEEL, one, 3, MetadataOrigin::Read)?;
        assert_eq!(
            metadata_index.find(WHEEL),
            Some(other),
            "the verified one counts"
        );
        let again = at(dir.path())?;
        again.record(WHEEL, one, 3, MetadataOrigin::Read)?;
        assert_eq!(again.find(WHEEL), Some(other), "after a restart too");
        Ok(())
    }

    #[test]
    fn what_is_withdrawn_is_gone() -> Checked {
        let dir = tempfile::tempdir()?;
        let metadata_index = at(dir.path())?;
        metadata_index.retract(WHEEL)?;
        assert_eq!(metadata_index.generation(), 0);
        metadata_index.record(WHEEL, Digest::of(b"one"), 3, MetadataOrigin::Read)?;
        metadata_index.retract(WHEEL)?;
        assert_eq!(
            (metadata_index.find(WHEEL), metadata_index.generation()),
            (None, 2)
        );
        assert_eq!(at(dir.path())?.find(WHEEL), None);
        Ok(())
    }
}
