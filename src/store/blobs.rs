//! File bodies by sha256: opened, checked, remembered, evicted.
//!
//! A [`Blob`] is bytes whose digest this process has seen agree. Bytes found on disk are hashed once before they count
//! ([`BlobLookup::Checking`]: readers follow the check behind its watermark), and again when they were last checked more than
//! [`CHECK_EVERY`] ago, or when the file's size, modification time or inode differ from then. That rule is documented
//! in the README. Damaged bytes are set aside and count as absent. Must not know callers or addresses.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use moka::sync::Cache;
use parking_lot::Mutex;
use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};

use super::changes::Changes;
use super::error::StoreError;
use super::layout::Layout;
use super::ledger::{EvictionCandidate, Ledger, Reservation, victims};
use super::partial_file::{Cause, PartialFile};
use super::sets::Sets;
use crate::values::clock;
use crate::values::digest::{Digest, Hasher};

/// A blob is hashed again when its last check is older than this.
pub const CHECK_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Open files remembered.
const HANDLES_MAX: u64 = 1024;

/// Bytes read at a time while hashing.
const CHECK_CHUNK_BYTES: usize = 1 << 20;

/// Evictions tried for one promise: another flight may take the room that was made.
const EVICTIONS_MAX: usize = 8;

/// The clock of eviction is an hour coarse: use is noted at most this often.
const USE_NOTED_EVERY: Duration = Duration::from_secs(3600);

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

/// What would differ if somebody had touched the bytes.
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
    fn stands(&self, now: Instant) -> bool {
        let unmoved = self
            .file
            .metadata()
            .is_ok_and(|meta| meta.nlink() > 0 && Stamp::of(&meta) == self.stamp);
        unmoved && now.saturating_duration_since(self.checked) < CHECK_EVERY
    }

    /// Keeps the blob from looking unused while its handle serves hit after hit.
    fn note_use(&self, now: Instant) {
        let mut noted = self.noted.lock();
        if now.saturating_duration_since(*noted) >= USE_NOTED_EVERY {
            *noted = now;
            note_use(&self.file);
        }
    }
}

/// What the store holds under a digest.
#[derive(Debug)]
pub enum BlobLookup {
    Whole(Arc<Blob>),
    /// There, and being hashed; readers follow behind.
    Checking(Arc<PartialFile>),
    Absent,
}

pub struct Blobs {
    layout: Arc<Layout>,
    ledger: Arc<Ledger>,
    handles: Cache<Digest, Arc<Blob>>,
    checks: Mutex<HashMap<Digest, Weak<PartialFile>>>,
    evicting: Mutex<()>,
    /// Nothing makes way for anything.
    keeps_everything: AtomicBool,
    changes: Changes,
}

impl Blobs {
    pub(super) fn new(layout: Arc<Layout>, ledger: Arc<Ledger>, changes: Changes) -> Self {
        Self {
            layout,
            ledger,
            handles: Cache::new(HANDLES_MAX),
            checks: Mutex::default(),
            evicting: Mutex::default(),
            keeps_everything: AtomicBool::default(),
            changes,
        }
    }

    /// From now on nothing makes way for anything: nobody could fetch it again.
    pub fn keep_everything(&self) {
        self.keeps_everything.store(true, Ordering::Relaxed);
    }

    fn keeps_everything(&self) -> bool {
        self.keeps_everything.load(Ordering::Relaxed)
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Where it is counted that a blob came or went.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    pub(super) fn remember(&self, blob: Blob) -> Arc<Blob> {
        let blob = Arc::new(blob);
        self.handles.insert(blob.digest, Arc::clone(&blob));
        blob
    }

    /// What is held under this digest. Must be called inside a tokio runtime: a check runs on a blocking thread.
    ///
    /// # Errors
    /// When the folder cannot be read; "not there" is no error.
    pub fn open(self: &Arc<Self>, digest: Digest, now: Instant) -> Result<BlobLookup, StoreError> {
        if let Some(blob) = self.handles.get(&digest) {
            if blob.stands(now) {
                blob.note_use(now);
                return Ok(BlobLookup::Whole(blob));
            }
            self.handles.invalidate(&digest);
        }
        let mut checks = self.checks.lock();
        if let Some(running) = checks.get(&digest).and_then(Weak::upgrade) {
            return Ok(BlobLookup::Checking(running));
        }
        let path = self.layout.blob(digest);
        let file = match File::open(&path) {
            Ok(file) => Arc::new(file),
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(BlobLookup::Absent),
            Err(why) => return Err(StoreError::io("open", &path)(why)),
        };
        let partial = Arc::new(PartialFile::new(file));
        checks.insert(digest, Arc::downgrade(&partial));
        drop(checks);
        let this = Arc::clone(self);
        let checked = Arc::clone(&partial);
        tokio::task::spawn_blocking(move || this.check(digest, &checked));
        Ok(BlobLookup::Checking(partial))
    }

    /// Hashes a file found on disk, letting its readers follow.
    fn check(&self, digest: Digest, partial: &PartialFile) {
        let checked = match hash_along(partial) {
            Ok(actual) if actual == digest => {
                Blob::checked(Arc::clone(partial.file()), digest).map_err(|_| Cause::Disk)
            }
            Ok(actual) => {
                tracing::error!(%digest, %actual, "a stored file was damaged: quarantined, it will be fetched again");
                self.quarantine(digest, partial);
                Err(Cause::WrongDigest)
            }
            Err(why) => {
                tracing::error!(%digest, error = %why, "a stored file cannot be read: quarantined, it will be fetched again");
                self.quarantine(digest, partial);
                Err(Cause::Disk)
            }
        };
        let checked = checked.map(|blob| {
            note_use(blob.file());
            self.remember(blob).size()
        });
        // Before anybody is told: whoever looks again finds the blob, or nothing, but no check that is over.
        self.checks.lock().remove(&digest);
        match checked {
            Ok(size) => partial.seal(size),
            Err(cause) => partial.fail(cause),
        }
    }

    pub(super) fn quarantine(&self, digest: Digest, damaged: &PartialFile) {
        self.handles.invalidate(&digest);
        // Nothing is left to be looked at.
        if self.layout.remove_emptied(digest) {
            self.changes.note();
            return;
        }
        match self.layout.quarantine(digest, damaged.file()) {
            Ok(()) => {
                self.layout.health().quarantine();
                self.ledger.removed(damaged.size().unwrap_or(0));
                self.changes.note();
            }
            Err(why) => {
                tracing::error!(%digest, error = %why, "cannot quarantine the damaged file")
            }
        }
    }

    /// Promises room for a body, making room if need be. Blocks while it evicts.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the bytes do not fit however much makes way.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, StoreError> {
        let reserved = self.make_room(bytes);
        let got_it = !matches!(reserved, Err(StoreError::Full { .. }));
        self.layout
            .health()
            .asked_for_room(bytes, got_it, clock::now());
        reserved
    }

    fn make_room(&self, bytes: u64) -> Result<Reservation, StoreError> {
        if let Some(reservation) = self.ledger.reserve(bytes) {
            return Ok(reservation);
        }
        if bytes <= self.ledger.budget() {
            for _ in 0..EVICTIONS_MAX {
                self.evict(bytes)?;
                if let Some(reservation) = self.ledger.reserve(bytes) {
                    return Ok(reservation);
                }
            }
        }
        Err(StoreError::Full { needed: bytes })
    }

    /// Promises more room to a body whose length was not announced, making room if need be. Blocks while it evicts.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the bytes do not fit however much makes way.
    pub fn grow(&self, reservation: &mut Reservation, bytes: u64) -> Result<(), StoreError> {
        if reservation.grow_to(bytes) {
            return Ok(());
        }
        if bytes <= self.ledger.budget() {
            for _ in 0..EVICTIONS_MAX {
                self.evict(bytes.saturating_sub(reservation.bytes()))?;
                if reservation.grow_to(bytes) {
                    return Ok(());
                }
            }
        }
        self.layout
            .health()
            .asked_for_room(bytes, false, clock::now());
        Err(StoreError::Full { needed: bytes })
    }

    /// Lets make way what is over the budget. Blocks while it evicts.
    ///
    /// # Errors
    /// When what is stored cannot be listed or removed.
    pub(super) fn fit(&self) -> Result<(), StoreError> {
        self.evict(0)
    }

    fn evict(&self, needed: u64) -> Result<(), StoreError> {
        let _one_at_a_time = self.evicting.lock();
        let excess = self.ledger.excess(needed);
        if excess == 0 || self.keeps_everything() {
            return Ok(());
        }
        let wanted = Sets::new(Arc::clone(&self.layout)).digests().unwrap_or_else(|why| {
            tracing::warn!(error = %why, "cannot read which files belong to sets: they are evicted like others");
            HashSet::new()
        });
        let candidates = self.every()?.into_iter().map(|blob| EvictionCandidate {
            key: blob.digest,
            bytes: blob.bytes,
            used: blob.used,
            wanted: wanted.contains(&blob.digest),
        });
        for victim in victims(candidates.collect(), excess) {
            self.handles.invalidate(&victim.key);
            // An open reader keeps its bytes: unlinking takes only the name.
            cacache::remove_hash_sync(self.layout.root(), &integrity(victim.key))?;
            self.ledger.removed(victim.bytes);
            self.layout
                .health()
                .evicted(victim.bytes, victim.used, clock::wall());
            self.changes.note();
            tracing::debug!(digest = %victim.key, bytes = victim.bytes, "evicted");
        }
        Ok(())
    }

    /// Counts what is on disk. Walks the whole folder: run it behind the start-up, on a blocking thread.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn scan_usage(&self) -> Result<(), StoreError> {
        let found = self.every()?;
        self.ledger.found(found.iter().map(|blob| blob.bytes).sum());
        self.layout.health().blobs_came(found.len() as u64);
        Ok(())
    }

    pub(super) fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        Ok(self.every()?.iter().map(|blob| blob.bytes).sum())
    }

    pub(super) fn every(&self) -> Result<Vec<StoredBlob>, StoreError> {
        every(&self.layout)
    }
}

/// Opens a file so that reading it is no use of it, where the system lets us.
fn open_unnoted(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOATIME.bits()).unwrap_or_default();
    let unnoted = OpenOptions::new().read(true).custom_flags(flags).open(path);
    unnoted.or_else(|_| File::open(path))
}

/// Bytes under a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    pub digest: Digest,
    pub bytes: u64,
    pub used: SystemTime,
    /// When it was put in.
    pub written: SystemTime,
}

/// What became of something that was to be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// So many bytes are free.
    Removed(u64),
    /// It is not there, or not the same any more.
    Changed,
    /// The store was written all the time.
    Busy,
}

/// What hashing a blob again came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehashed {
    Right,
    /// It was wrong or could not be read, and is set aside.
    Quarantined,
    /// It had no bytes, as a power cut leaves what was not synced, and is removed.
    Emptied,
    Gone,
}

impl Blobs {
    /// Hashes a blob again, and sets it aside if it is wrong. `step` is told of each piece of bytes, and may break off.
    /// Blocks.
    ///
    /// # Errors
    /// What `step` says.
    pub fn rehash<E>(
        &self,
        digest: Digest,
        mut step: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Rehashed, E> {
        let Ok(file) = open_unnoted(&self.layout.blob(digest)) else {
            return Ok(Rehashed::Gone);
        };
        let mut hasher = Hasher::new();
        let mut chunk = vec![0; CHECK_CHUNK_BYTES];
        let mut position = 0;
        let right = loop {
            match file.read_at(&mut chunk, position) {
                Ok(0) => break hasher.finish() == digest,
                Ok(read) => {
                    hasher.update(chunk.get(..read).unwrap_or_default());
                    position += read as u64;
                    step(read as u64)?;
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => {
                    tracing::error!(%digest, error = %why, "a stored file cannot be read");
                    break false;
                }
            }
        };
        if right {
            return Ok(Rehashed::Right);
        }
        let bytes = file.metadata().map(|meta| meta.len()).ok();
        if bytes == Some(0) && self.layout.remove_emptied(digest) {
            tracing::warn!(%digest, "a stored body was empty, as a power cut leaves them; removed");
            self.handles.invalidate(&digest);
            self.changes.note();
            return Ok(Rehashed::Emptied);
        }
        tracing::error!(%digest, "a stored file was damaged: quarantined, it will be fetched again");
        let damaged = PartialFile::new(Arc::new(file));
        damaged.announce(bytes);
        self.quarantine(digest, &damaged);
        Ok(Rehashed::Quarantined)
    }

    /// Takes a blob away, if it is still the one that was listed.
    pub(super) fn take(&self, blob: &StoredBlob) -> Result<Removal, StoreError> {
        let path = self.layout.blob(blob.digest);
        let same = path.metadata().is_ok_and(|meta| {
            meta.len() == blob.bytes && meta.modified().is_ok_and(|written| written == blob.written)
        });
        if !same {
            return Ok(Removal::Changed);
        }
        self.handles.invalidate(&blob.digest);
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        self.ledger.removed(blob.bytes);
        self.layout.health().blob_went();
        self.changes.note();
        Ok(Removal::Removed(blob.bytes))
    }

    /// Who would have to make way for the budget to hold, with so many bytes of others: the longest unused first;
    /// nobody where everything is kept.
    pub fn over_budget(&self, blobs: Vec<StoredBlob>, others: u64) -> Vec<StoredBlob> {
        if self.keeps_everything() {
            return Vec::new();
        }
        let total: u64 = blobs.iter().map(|blob| blob.bytes).sum();
        let excess = total
            .saturating_add(others)
            .saturating_sub(self.ledger.budget());
        let candidates = blobs.into_iter().map(|blob| EvictionCandidate {
            key: blob,
            bytes: blob.bytes,
            used: blob.used,
            wanted: false,
        });
        victims(candidates.collect(), excess)
            .into_iter()
            .map(|victim| victim.key)
            .collect()
    }
}

/// Reads a file from end to end, publishing how far the hash has come.
fn hash_along(partial: &PartialFile) -> io::Result<Digest> {
    partial.announce(Some(partial.file().metadata()?.len()));
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHECK_CHUNK_BYTES];
    let mut position = 0;
    loop {
        let read = partial.file().read_at(&mut chunk, position)?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&chunk[..read]);
        position += read as u64;
        partial.advance(position);
    }
}

/// Notes that a blob is in use, for eviction: in its access time, which mount options leave alone when it is set, so
/// that its modification time can go on telling whether the bytes were touched.
fn note_use(file: &File) {
    let recent = file
        .metadata()
        .and_then(|meta| meta.accessed())
        .ok()
        .and_then(|used| used.elapsed().ok());
    if recent.is_some_and(|age| age < USE_NOTED_EVERY) {
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

#[expect(
    clippy::expect_used,
    reason = "a Digest prints as 64 hex digits, all that from_hex asks for"
)]
pub(super) fn integrity(digest: Digest) -> cacache::Integrity {
    cacache::Integrity::from_hex(digest.to_string(), cacache::Algorithm::Sha256)
        .expect("64 hex digits")
}

/// Every body that lies there, whoever is at work beside it. Blocks.
pub(super) fn every(layout: &Layout) -> Result<Vec<StoredBlob>, StoreError> {
    let mut found = Vec::new();
    let mut folders = vec![layout.content()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
            Err(why) => return Err(StoreError::io("read", &folder)(why)),
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if let Some(key) = layout.digest_of(&entry.path()) {
                let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let used = meta.accessed().unwrap_or(written);
                found.push(StoredBlob {
                    digest: key,
                    bytes: meta.len(),
                    used,
                    written,
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_blob_that_is_hit_all_day_does_not_look_unused() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let ledger = Arc::new(Ledger::new(1 << 20));
        let blobs = Arc::new(Blobs::new(
            Arc::new(Layout::make(dir.path())?),
            ledger,
            Changes::default(),
        ));
        let file = File::create(dir.path().join("blob"))?;
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        file.set_times(FileTimes::new().set_accessed(long_ago))?;
        let digest = Digest::of(b"");
        let blob = blobs.remember(Blob::checked(Arc::new(file), digest)?);
        let used = || blob.file().metadata().and_then(|meta| meta.accessed());

        assert!(matches!(
            blobs.open(digest, clock::now()),
            Ok(BlobLookup::Whole(_))
        ));
        assert_eq!(used()?, long_ago, "noted at every hit");
        assert!(matches!(
            blobs.open(digest, clock::now() + USE_NOTED_EVERY),
            Ok(BlobLookup::Whole(_))
        ));
        assert!(used()? > long_ago, "not noted after an hour");
        Ok(())
    }
}
