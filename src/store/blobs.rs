//! File bodies by sha256: opened, checked, remembered, evicted.
//!
//! A [`Blob`] is bytes whose digest this process has seen agree. Bytes found on disk are hashed
//! once before they count ([`BlobLookup::Checking`]: readers follow the check behind its
//! watermark), and again when they were last checked more than
//! [`CHECK_EVERY`](super::blob::CHECK_EVERY) ago, or when the file's size, modification time or
//! inode differ from then. That rule is documented in the README. Damaged bytes are set aside and
//! count as absent. Must not know callers or addresses.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::blob::{self, Blob, StoredBlob, note_use};
use super::error::StoreError;
use super::eviction::{EvictionQueue, LongestUnused};
use super::folder::Folder;
use super::hashed_read::HashedRead;
use super::index::integrity;
use super::ledger::{Ledger, Reservation, victims};
use super::partial_file::{Cause, PartialFile};
use super::sets::Sets;
use crate::values::cache::{self, Cache};
use crate::values::clock;
use crate::values::correlation;
use crate::values::digest::Digest;

/// Open files remembered.
const HANDLES_MAX: u64 = 1024;

/// Bytes read at a time while hashing.
const CHECK_CHUNK_BYTES: usize = 1 << 20;

/// Evictions tried for one promise: another flight may take the room that was made.
const EVICTIONS_MAX: usize = 8;

/// What the store holds under a digest.
#[derive(Debug)]
pub enum BlobLookup {
    Whole(Arc<Blob>),
    /// There, and being hashed; readers follow behind.
    Checking(Arc<PartialFile>),
    Absent,
}

pub struct Blobs {
    folder: Arc<Folder>,
    handles: Cache<Digest, Arc<Blob>>,
    checks: Mutex<HashMap<Digest, Weak<PartialFile>>>,
    /// What to evict next; locked by the one eviction at a time.
    evictions: Mutex<EvictionQueue>,
    /// Nothing is evicted.
    keeps_everything: AtomicBool,
}

impl Blobs {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            handles: cache::bounded(HANDLES_MAX),
            checks: Mutex::default(),
            evictions: Mutex::default(),
            keeps_everything: AtomicBool::default(),
        }
    }

    /// From now on nothing is evicted: it could not be fetched again.
    pub fn keep_everything(&self) {
        self.keeps_everything.store(true, Ordering::Relaxed);
    }

    fn keeps_everything(&self) -> bool {
        self.keeps_everything.load(Ordering::Relaxed)
    }

    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.folder.ledger
    }

    pub(super) fn remember(&self, blob: Blob) -> Arc<Blob> {
        let blob = Arc::new(blob);
        self.handles.insert(blob.digest(), Arc::clone(&blob));
        blob
    }

    /// What is held under this digest. Must be called inside a tokio runtime: a check runs on a
    /// blocking thread.
    ///
    /// # Errors
    /// When the folder cannot be read; "not there" is no error.
    pub fn open(self: &Arc<Self>, digest: Digest, now: Instant) -> Result<BlobLookup, StoreError> {
        if let Some(blob) = self.handles.get(&digest) {
            if blob.stands(now) {
                blob.note_use(now);
                return Ok(BlobLookup::Whole(blob));
            }
            self.handles.remove(&digest);
        }
        let mut checks = self.checks.lock();
        if let Some(running) = checks.get(&digest).and_then(Weak::upgrade) {
            return Ok(BlobLookup::Checking(running));
        }
        let Some(file) = self.folder.layout.open_blob(digest)? else {
            return Ok(BlobLookup::Absent);
        };
        let partial = Arc::new(PartialFile::new(Arc::new(file)));
        checks.insert(digest, Arc::downgrade(&partial));
        drop(checks);
        let this = Arc::clone(self);
        let checked = Arc::clone(&partial);
        correlation::spawn_blocking(move || this.check(digest, &checked));
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
        // Before the readers are told: who looks again finds the blob, or nothing, but no check
        // that is over.
        self.checks.lock().remove(&digest);
        match checked {
            Ok(size) => partial.seal(size),
            Err(cause) => partial.fail(cause),
        }
    }

    pub(super) fn quarantine(&self, digest: Digest, damaged: &PartialFile) {
        self.handles.remove(&digest);
        // Nothing is left to be looked at.
        if self.folder.remove_emptied(digest) {
            return;
        }
        match self.folder.layout.quarantine(digest, damaged.file()) {
            Ok(()) => {
                self.folder.health.quarantined();
                self.folder.ledger.removed(damaged.size().unwrap_or(0));
                self.folder.changes.note();
            }
            Err(why) => {
                tracing::error!(%digest, error = %why, "cannot quarantine the damaged file")
            }
        }
    }

    /// Promises room for a body, making room if need be. Blocks while it evicts.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the bytes do not fit however much is evicted.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, StoreError> {
        let reserved = self.with_room(bytes, bytes, || self.folder.ledger.reserve(bytes));
        let got_it = !matches!(reserved, Err(StoreError::Full { .. }));
        let health = &self.folder.health;
        health.asked_for_room(bytes, got_it, clock::now());
        reserved
    }

    /// Promises more room to a body whose length was not announced, making room if need be. Blocks
    /// while it evicts.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the bytes do not fit however much is evicted.
    pub fn grow(&self, reservation: &mut Reservation, bytes: u64) -> Result<(), StoreError> {
        let missing = bytes.saturating_sub(reservation.bytes());
        let grown = self.with_room(bytes, missing, || reservation.grow_to(bytes));
        if let Err(StoreError::Full { .. }) = grown {
            let health = &self.folder.health;
            health.asked_for_room(bytes, false, clock::now());
        }
        grown
    }

    /// What `take` gives when a body of so many bytes, of which some are `missing`, has room.
    fn with_room<T>(
        &self,
        bytes: u64,
        missing: u64,
        mut take: impl FnMut() -> Option<T>,
    ) -> Result<T, StoreError> {
        if let Some(taken) = take() {
            return Ok(taken);
        }
        if bytes <= self.folder.ledger.budget() {
            for _ in 0..EVICTIONS_MAX {
                self.evict(missing)?;
                if let Some(taken) = take() {
                    return Ok(taken);
                }
            }
        }
        Err(StoreError::Full { needed: bytes })
    }

    /// Evicts what is over the budget. Blocks while it evicts.
    ///
    /// # Errors
    /// When what is stored cannot be listed or removed.
    pub fn fit(&self) -> Result<(), StoreError> {
        self.evict(0)
    }

    fn evict(&self, needed: u64) -> Result<(), StoreError> {
        let mut queue = self.evictions.lock();
        let mut excess = self.folder.ledger.excess(needed);
        if excess == 0 || self.keeps_everything() {
            return Ok(());
        }
        let wanted = self.wanted();
        queue.drop_wanted(&wanted);
        let mut has_walked = false;
        loop {
            let freed = self.evict_queued(&mut queue, excess)?;
            excess = excess.saturating_sub(freed);
            if excess == 0 || (has_walked && freed == 0) {
                return Ok(());
            }
            *queue = self.walk(&wanted)?;
            has_walked = true;
        }
    }

    /// Removes what is queued until `excess` bytes are gone; how many went.
    fn evict_queued(&self, queue: &mut EvictionQueue, excess: u64) -> Result<u64, StoreError> {
        let mut freed = 0;
        while freed < excess {
            let Some(victim) = queue.pop() else { break };
            let path = self.folder.layout.blob(victim.digest);
            let Ok(meta) = path.symlink_metadata() else {
                continue;
            };
            // Used, or put in anew, since the walk.
            if StoredBlob::of(victim.digest, &meta) != victim {
                continue;
            }
            self.handles.remove(&victim.digest);
            // An open reader keeps its bytes: unlinking takes only the name.
            cacache::remove_hash_sync(self.folder.layout.root(), &integrity(victim.digest))?;
            self.folder.ledger.removed(victim.bytes);
            self.folder
                .health
                .evicted(victim.bytes, victim.used, clock::wall());
            self.folder.changes.note();
            tracing::debug!(digest = %victim.digest, bytes = victim.bytes, "evicted");
            freed += victim.bytes;
        }
        Ok(freed)
    }

    /// What sets name.
    fn wanted(&self) -> HashSet<Digest> {
        Sets::new(Arc::clone(&self.folder)).digests().unwrap_or_else(|why| {
            tracing::warn!(error = %why, "cannot read which files belong to sets: they are evicted like others");
            HashSet::new()
        })
    }

    fn walk(&self, wanted: &HashSet<Digest>) -> Result<EvictionQueue, StoreError> {
        let mut found = LongestUnused::new(wanted);
        blob::each(&self.folder.layout, |blob| found.add(blob))?;
        Ok(found.into_queue())
    }

    /// Walks the store ahead of the download that would have to wait for it, if it is nearly full
    /// and few of the bodies are left that the last walk found. Blocks.
    pub(super) fn queue_evictions(&self) {
        let ledger = &self.folder.ledger;
        let budget = ledger.budget();
        let is_nearly_full = ledger.taken() > budget - budget / 16;
        if !is_nearly_full || !self.evictions.lock().runs_low() || self.keeps_everything() {
            return;
        }
        // Evictions go on meanwhile: what they take is passed over later.
        match self.walk(&self.wanted()) {
            Ok(queue) => *self.evictions.lock() = queue,
            Err(why) => tracing::warn!(error = %why, "cannot look for what to evict next"),
        }
    }

    /// Counts what is on disk, and notes what to evict first. Walks the whole folder: run it behind
    /// the start-up, on a blocking thread.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn scan_usage(&self) -> Result<(), StoreError> {
        let wanted = self.wanted();
        let mut found = LongestUnused::new(&wanted);
        let mut bytes = 0;
        let mut count = 0;
        blob::each(&self.folder.layout, |blob| {
            bytes += blob.bytes;
            count += 1;
            found.add(blob);
        })?;
        self.folder.ledger.found(bytes);
        self.folder.health.blobs_came(count);
        *self.evictions.lock() = found.into_queue();
        Ok(())
    }

    pub(super) fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        blob::each(&self.folder.layout, |blob| bytes += blob.bytes)?;
        Ok(bytes)
    }
}

/// Opens a file so that reading it is no use of it, where the system lets us.
fn open_unnoted(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOATIME.bits()).unwrap_or_default();
    let unnoted = OpenOptions::new().read(true).custom_flags(flags).open(path);
    unnoted.or_else(|_| File::open(path))
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
    /// Hashes a blob again, and sets it aside if it is wrong. `step` is told of each piece of
    /// bytes, and may break off. Blocks.
    ///
    /// # Errors
    /// What `step` says.
    pub fn rehash<E>(
        &self,
        digest: Digest,
        mut step: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Rehashed, E> {
        let Ok(file) = open_unnoted(&self.folder.layout.blob(digest)) else {
            return Ok(Rehashed::Gone);
        };
        let mut reader = HashedRead::new(&file, CHECK_CHUNK_BYTES);
        let right = loop {
            match reader.next() {
                Ok(Some(bytes)) => step(bytes.len() as u64)?,
                Ok(None) => break reader.digest() == digest,
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
        if bytes == Some(0) && self.folder.remove_emptied(digest) {
            tracing::warn!(%digest, "a stored body was empty, as a power cut leaves them; removed");
            self.handles.remove(&digest);
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
        let path = self.folder.layout.blob(blob.digest);
        let Ok(meta) = path.metadata() else {
            return Ok(Removal::Changed);
        };
        if meta.len() != blob.bytes || meta.modified().ok() != Some(blob.written) {
            return Ok(Removal::Changed);
        }
        self.handles.remove(&blob.digest);
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        self.folder.ledger.removed(blob.bytes);
        self.folder.health.blob_went();
        self.folder.changes.note();
        Ok(Removal::Removed(blob.bytes))
    }

    /// What would have to be evicted for the budget to hold, with so many bytes of others: the
    /// longest unused first; nothing where everything is kept.
    pub fn over_budget(&self, blobs: Vec<StoredBlob>, others: u64) -> Vec<StoredBlob> {
        if self.keeps_everything() {
            return Vec::new();
        }
        let total: u64 = blobs.iter().map(|blob| blob.bytes).sum();
        let budget = self.folder.ledger.budget();
        let excess = total.saturating_add(others).saturating_sub(budget);
        victims(blobs, &HashSet::new(), excess)
    }
}

/// Reads a file from end to end, publishing how far the hash has come.
fn hash_along(partial: &PartialFile) -> io::Result<Digest> {
    partial.announce(Some(partial.file().metadata()?.len()));
    let mut reader = HashedRead::new(partial.file(), CHECK_CHUNK_BYTES);
    while reader.next()?.is_some() {
        partial.advance(reader.position());
    }
    Ok(reader.digest())
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::time::{Duration, SystemTime};

    use super::super::blob::USE_NOTED_EVERY;
    use super::super::layout::Layout;
    use super::*;

    #[test]
    fn a_blob_that_is_hit_all_day_does_not_look_unused() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let folder = Folder::new(Layout::make(dir.path())?, 1 << 20);
        let blobs = Arc::new(Blobs::new(folder));
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

    #[test]
    fn what_was_used_since_the_walk_is_passed_over() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let folder = Folder::new(Layout::make(dir.path())?, 3);
        let blobs = Blobs::new(Arc::clone(&folder));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut paths = Vec::new();
        for number in 0..3u8 {
            let path = folder.layout.blob(Digest::of(&[number]));
            fs::create_dir_all(path.parent().expect("a folder"))?;
            fs::write(&path, [number])?;
            let used = long_ago + Duration::from_secs(u64::from(number));
            File::open(&path)?.set_times(FileTimes::new().set_accessed(used))?;
            paths.push(path);
        }
        blobs.scan_usage()?;
        File::open(&paths[0])?.set_times(FileTimes::new().set_accessed(clock::wall()))?;
        let _room = blobs.reserve(1)?;
        let left: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(left, [true, false, true]);
        Ok(())
    }
}
