//! Which metadata (PEP 658) was made of which wheel: one line in cacache's index for each, its bytes a blob like others.
//!
//! A fact belongs to an *address*, as in the catalogue: GitLab does not check the sha256 that an uploader declares, so
//! a second address of the same digest must have yielded the wheel itself before anything of it is shown there. It is
//! either verified (made from a wheel whose bytes had the promised sha256) or only read (from spans of it upstream);
//! the verified one counts, whatever was read. A fact outlives its bytes: they may be evicted and made again. Must not
//! know callers or archives.

use std::sync::Arc;

use moka::sync::Cache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::blobs::integrity;
use super::error::StoreError;
use super::layout::Layout;
use crate::registry::{FileRef, Route};
use crate::values::digest::Digest;

/// Wheels about which it is remembered what is known, or that nothing is; the rest are looked up on disk.
const REMEMBERED_MAX: u64 = 65_536;

/// What a wheel's key in the index begins with.
const KEY_PREFIX: &str = "metadata ";

/// A wheel's address in sixteen bytes, for pages that list thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WheelMark([u8; 16]);

impl WheelMark {
    pub fn of(file: &FileRef) -> Self {
        let digest = Digest::of(Route::File(file.clone()).path().as_bytes());
        let mut mark = [0; 16];
        mark.iter_mut()
            .zip(digest.as_bytes())
            .for_each(|(byte, from)| *byte = *from);
        Self(mark)
    }
}

/// What a wheel's metadata was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataOrigin {
    /// From bytes that had the wheel's sha256.
    Verified,
    /// From spans that upstream sent, whose sha256 nobody could check.
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub metadata: Digest,
    pub origin: MetadataOrigin,
}

/// A fact's words in the index; the metadata's digest is the line's integrity.
#[derive(Serialize, Deserialize)]
struct SidecarRecord {
    verified: bool,
}

pub struct Sidecars {
    layout: Arc<Layout>,
    remembered: Cache<WheelMark, Option<Fact>>,
    /// Counts the changes. Held while what is remembered changes, so that a look on the disk from before a change is
    /// not remembered after it.
    changes: Mutex<u64>,
    /// One change at a time: a fact is compared with the one it replaces.
    changing: Mutex<()>,
}

impl Sidecars {
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        Self {
            layout,
            remembered: Cache::new(REMEMBERED_MAX),
            changes: Mutex::new(0),
            changing: Mutex::default(),
        }
    }

    /// The digest of the metadata that was made of this wheel. Blocks when it has to look on the disk.
    pub fn find(&self, wheel: WheelMark) -> Option<Digest> {
        self.fact(wheel).map(|fact| fact.metadata)
    }

    /// Moves whenever [`Self::find`] may give another answer than before.
    pub fn generation(&self) -> u64 {
        *self.changes.lock()
    }

    pub(super) fn fact(&self, wheel: WheelMark) -> Option<Fact> {
        if let Some(known) = self.remembered.get(&wheel) {
            return known;
        }
        let before = self.generation();
        let found = match cacache::index::find(self.layout.root(), &key(wheel)) {
            Ok(found) => found.and_then(|found| fact_of(&found)),
            Err(why) => {
                tracing::warn!(error = %why, "cannot look up a wheel's metadata");
                return None;
            }
        };
        let changes = self.changes.lock();
        if *changes == before {
            self.remembered.insert(wheel, found);
        }
        found
    }

    /// Records that this metadata, whose bytes are stored, was made of this wheel. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub(super) fn record(
        &self,
        wheel: WheelMark,
        metadata: Digest,
        bytes: usize,
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
        let _inside = self.layout.maintenance().enter(Some(metadata));
        let line = SidecarRecord {
            verified: origin == MetadataOrigin::Verified,
        };
        let options = cacache::WriteOpts::new()
            .integrity(integrity(metadata))
            .size(bytes)
            .metadata(serde_json::json!(line));
        cacache::index::insert(self.layout.root(), &key(wheel), options)?;
        self.change(
            wheel,
            Some(fact),
            known.is_none_or(|known| known.metadata != metadata),
        );
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
        let _inside = self.layout.maintenance().enter(None);
        cacache::index::delete(self.layout.root(), &key(wheel))?;
        self.change(wheel, None, true);
        Ok(())
    }

    /// Forgets what was known of this wheel, because it is cleared away. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub(super) fn forget(&self, wheel: WheelMark) -> Result<(), StoreError> {
        let _one_at_a_time = self.changing.lock();
        let _inside = self.layout.maintenance().enter(None);
        cacache::index::delete(self.layout.root(), &key(wheel))?;
        self.change(wheel, None, true);
        Ok(())
    }

    fn change(&self, wheel: WheelMark, fact: Option<Fact>, shows: bool) {
        let mut changes = self.changes.lock();
        self.remembered.insert(wheel, fact);
        *changes += u64::from(shows);
    }
}

pub(super) fn fact_of(found: &cacache::Metadata) -> Option<Fact> {
    let (algorithm, hex) = found.integrity.to_hex();
    let metadata = Digest::parse(&hex).filter(|_| algorithm == cacache::Algorithm::Sha256)?;
    let line: SidecarRecord = serde_json::from_value(found.metadata.clone()).ok()?;
    let origin = if line.verified {
        MetadataOrigin::Verified
    } else {
        MetadataOrigin::Read
    };
    Some(Fact { metadata, origin })
}

/// The wheel that a key of the index is about.
pub(super) fn wheel_of(key: &str) -> Option<WheelMark> {
    let hex = key.strip_prefix(KEY_PREFIX).filter(|hex| hex.len() == 32)?;
    Some(WheelMark(u128::from_str_radix(hex, 16).ok()?.to_be_bytes()))
}

pub(super) fn key(wheel: WheelMark) -> String {
    format!("{KEY_PREFIX}{:032x}", u128::from_be_bytes(wheel.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    const WHEEL: WheelMark = WheelMark([7; 16]);

    fn at(dir: &std::path::Path) -> Result<Sidecars, StoreError> {
        Ok(Sidecars::new(Arc::new(Layout::make(dir)?)))
    }

    #[test]
    fn what_is_known_survives_and_moves_the_generation() -> Checked {
        let dir = tempfile::tempdir()?;
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let sidecars = at(dir.path())?;
        assert_eq!((sidecars.find(WHEEL), sidecars.generation()), (None, 0));
        sidecars.record(WHEEL, one, 3, MetadataOrigin::Read)?;
        assert_eq!(
            (sidecars.find(WHEEL), sidecars.generation()),
            (Some(one), 1)
        );
        sidecars.record(WHEEL, one, 3, MetadataOrigin::Read)?;
        assert_eq!(sidecars.generation(), 1, "nothing changed");
        assert_eq!(sidecars.find(WheelMark([8; 16])), None, "another address");
        assert_eq!(at(dir.path())?.find(WHEEL), Some(one), "after a restart");

        sidecars.record(WHEEL, one, 3, MetadataOrigin::Verified)?;
        assert_eq!(sidecars.generation(), 1, "the same, now verified");
        sidecars.record(WHEEL, other, 5, MetadataOrigin::Verified)?;
        sidecars.record(WHEEL, one, 3, MetadataOrigin::Read)?;
        assert_eq!(sidecars.find(WHEEL), Some(other), "the verified one counts");
        let again = at(dir.path())?;
        again.record(WHEEL, one, 3, MetadataOrigin::Read)?;
        assert_eq!(again.find(WHEEL), Some(other), "after a restart too");
        Ok(())
    }

    #[test]
    fn what_is_withdrawn_is_gone() -> Checked {
        let dir = tempfile::tempdir()?;
        let sidecars = at(dir.path())?;
        sidecars.retract(WHEEL)?;
        assert_eq!(sidecars.generation(), 0);
        sidecars.record(WHEEL, Digest::of(b"one"), 3, MetadataOrigin::Read)?;
        sidecars.retract(WHEEL)?;
        assert_eq!((sidecars.find(WHEEL), sidecars.generation()), (None, 2));
        assert_eq!(at(dir.path())?.find(WHEEL), None);
        Ok(())
    }
}
