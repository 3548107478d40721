//! One body: whole bytes whose digest this process has seen agree, and what lies on the disk under
//! a digest.
//!
//! Owns when a check is too old, and the note of use that eviction goes by. Must not know what else
//! is stored.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};

use super::error::StoreError;
use super::layout::{Layout, each_file};
use crate::values::clock;
use crate::values::digest::Digest;

/// A blob is hashed again when its last check is older than this.
pub const CHECK_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The clock of eviction is an hour coarse: use is noted at most this often.
pub const USE_NOTED_EVERY: Duration = Duration::from_secs(3600);

/// A whole file whose digest agreed.
#[derive(Debug)]
pub struct Blob {
    file: Arc<File>,
    digest: Digest,
    stamp: Stamp,
    checked: Instant,
    /// When its use was last noted for eviction.
    noted: Mutex<Instant>,
}

/// What differs if the bytes were touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

impl Blob {
    pub(super) fn checked(file: Arc<File>, digest: Digest) -> io::Result<Self> {
        let stamp = Stamp::of(&file.metadata()?);
        let now = clock::now();
        Ok(Self {
            file,
            digest,
            stamp,
            checked: now,
            noted: Mutex::new(now),
        })
    }

    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the last check still speaks for the file.
    pub(super) fn stands(&self, now: Instant) -> bool {
        let Ok(meta) = self.file.metadata() else {
            return false;
        };
        let is_unmoved = meta.nlink() > 0 && Stamp::of(&meta) == self.stamp;
        is_unmoved && now.saturating_duration_since(self.checked) < CHECK_EVERY
    }

    /// Keeps the blob from looking unused while its handle serves hit after hit.
    pub(super) fn note_use(&self, now: Instant) {
        let mut noted = self.noted.lock();
        if now.saturating_duration_since(*noted) >= USE_NOTED_EVERY {
            *noted = now;
            note_use(&self.file);
        }
    }
}

/// Notes that a blob is in use, for eviction: in its access time, which mount options leave alone
/// when it is set, so that its modification time can go on telling whether the bytes were touched.
pub fn note_use(file: &File) {
    let used = file.metadata().and_then(|meta| meta.accessed());
    if let Ok(used) = used
        && used.elapsed().is_ok_and(|age| age < USE_NOTED_EVERY)
    {
        return;
    }
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
        last_modification: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
    };
    if let Err(why) = futimens(file, &times) {
        tracing::debug!(error = %why, "cannot note that a blob is in use");
    }
}

/// Bytes under a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredBlob {
    pub digest: Digest,
    pub bytes: u64,
    pub used: SystemTime,
    /// When it was put in.
    pub written: SystemTime,
}

impl StoredBlob {
    /// What lies there under a digest, as its file looks.
    pub fn of(digest: Digest, meta: &Metadata) -> Self {
        let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            digest,
            bytes: meta.len(),
            used: meta.accessed().unwrap_or(written),
            written,
        }
    }
}

/// Every body that lies there, also while a daemon is at work. Blocks.
pub fn every(layout: &Layout) -> Result<Vec<StoredBlob>, StoreError> {
    let mut found = Vec::new();
    each(layout, |blob| found.push(blob))?;
    Ok(found)
}

/// The same, one at a time.
pub fn each(layout: &Layout, mut visit: impl FnMut(StoredBlob)) -> Result<(), StoreError> {
    each_file(layout.content(), |path| {
        if let Some(digest) = layout.digest_of(&path)
            && let Ok(meta) = path.symlink_metadata()
        {
            visit(StoredBlob::of(digest, &meta));
        }
        Ok(())
    })
}
