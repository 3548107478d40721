//! Split bundles of which not all parts have come: noted with a part, forgotten with the last.
//!
//! One small file for each, read once. Must not know what a part brings.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::error::StoreError;
use super::folder::Folder;
use super::layout::entries;
use crate::values::awaited_parts::AwaitedParts;
use crate::values::digest::Digest;

/// Most bundles that are waited for; the one that was heard of longest ago is forgotten.
const BUNDLES_MAX: usize = 64;

/// A bundle of which nothing more comes for so long is waited for no more.
const WAITED_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

/// Longest file, in bytes: a thousand numbers.
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// The bundles that one folder waits for. What changes it blocks.
pub struct AwaitedBundles {
    folder: Arc<Folder>,
    known: Mutex<BTreeMap<String, AwaitedParts>>,
}

impl AwaitedBundles {
    /// What was noted before. A note that cannot be read is none: the next part of that bundle
    /// writes another.
    pub(super) fn read(folder: Arc<Folder>) -> Self {
        let mut known = BTreeMap::new();
        for path in entries(&folder.layout.awaited()).unwrap_or_default() {
            if let Some(note) = read_note(&path)
                && known.len() < BUNDLES_MAX
            {
                known.insert(note.bundle.clone(), note);
            }
        }
        Self {
            folder,
            known: Mutex::new(known),
        }
    }

    /// Notes which parts of how many a bundle waits for, since when in seconds; none: it is whole.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn note(
        &self,
        bundle: Digest,
        of: u32,
        parts: &[u32],
        since: u64,
    ) -> Result<(), StoreError> {
        let mut known = self.known.lock();
        let bundle = bundle.to_string();
        if parts.is_empty() {
            known.remove(&bundle);
            return self.remove(&bundle);
        }
        let awaited = AwaitedParts {
            bundle: bundle.clone(),
            of,
            parts: parts.to_vec(),
            since,
        };
        self.write(&awaited)?;
        known.insert(bundle, awaited);
        if known.len() <= BUNDLES_MAX {
            return Ok(());
        }
        let oldest = known.values().min_by_key(|known| known.since);
        let Some(oldest) = oldest.map(|known| known.bundle.clone()) else {
            return Ok(());
        };
        known.remove(&oldest);
        self.remove(&oldest)
    }

    /// What is waited for now.
    pub fn all(&self, now: SystemTime) -> Vec<AwaitedParts> {
        let known = self.known.lock();
        let recent = |awaited: &&AwaitedParts| {
            let until = UNIX_EPOCH
                .checked_add(Duration::from_secs(awaited.since).saturating_add(WAITED_FOR));
            until.is_none_or(|until| now < until)
        };
        known.values().filter(recent).cloned().collect()
    }

    fn remove(&self, bundle: &str) -> Result<(), StoreError> {
        let path = self.folder.layout.awaited_bundle(bundle);
        match fs::remove_file(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path)(why))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, awaited: &AwaitedParts) -> Result<(), StoreError> {
        let path = self.folder.layout.awaited_bundle(&awaited.bundle);
        let text = serde_json::to_vec(awaited).map_err(io::Error::from);
        let written = text.and_then(|text| self.folder.layout.replace_file(&path, &text));
        written.map_err(StoreError::io("write", &path))
    }
}

fn read_note(path: &Path) -> Option<AwaitedParts> {
    if path.symlink_metadata().ok()?.len() > NOTE_BYTES_MAX {
        return None;
    }
    let text = fs::read(path).ok()?;
    let note: AwaitedParts = serde_json::from_slice(&text).ok()?;
    Digest::parse(&note.bundle)?;
    if path.file_name()?.to_str() == Some(&note.bundle) {
        Some(note)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;

    fn note(
        bundles: &AwaitedBundles,
        name: &str,
        parts: &[u32],
        since: u64,
    ) -> Result<(), StoreError> {
        bundles.note(Digest::of(name.as_bytes()), 9, parts, since)
    }

    fn awaited(name: &str, parts: &[u32], since: u64) -> AwaitedParts {
        let bundle = Digest::of(name.as_bytes()).to_string();
        AwaitedParts {
            bundle,
            of: 9,
            parts: parts.to_vec(),
            since,
        }
    }

    #[test]
    fn notes_survive_until_the_last_part_or_too_long() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let open = || {
            Ok::<_, StoreError>(AwaitedBundles::read(Folder::new(
                Layout::make(dir.path())?,
                0,
            )))
        };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let bundles = open()?;
        note(&bundles, "a", &[2, 3], 100)?;
        note(&bundles, "a", &[3], 200)?;
        note(&bundles, "b", &[1], 300)?;
        note(&bundles, "never noted", &[], 300)?;
        fs::write(dir.path().join("awaited").join("odd"), "{}")?;
        let again = open()?;
        let mut names: Vec<AwaitedParts> = again.all(at(400));
        names.sort_by_key(|awaited| awaited.since);
        assert_eq!(names, [awaited("a", &[3], 200), awaited("b", &[1], 300)]);
        note(&again, "a", &[], 500)?;
        assert_eq!(open()?.all(at(400)), [awaited("b", &[1], 300)]);
        assert_eq!(open()?.all(at(300) + WAITED_FOR), []);
        for number in 0..70 {
            note(&again, &number.to_string(), &[1], 1000 + number)?;
        }
        assert_eq!(again.all(at(1000)).len(), BUNDLES_MAX);
        assert!(
            !again.all(at(1000)).contains(&awaited("b", &[1], 300)),
            "the oldest made way"
        );
        assert_eq!(open()?.all(at(1000)).len(), BUNDLES_MAX);
        Ok(())
    }
}
