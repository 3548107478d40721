//! The disk: verified blobs by content, partial files, the catalogue, stored pages, and wheels'
//! metadata.
//!
//! ```text
//! spool ──seal──▶ blob (cacache's content layout) ◀── catalogue: address → digest, validators (cacache's index)
//!   ▲ bytes of a flight      │ open, check, serve            pages: key → body, validator (cacache)
//!   │                        │                            metadata: wheel → metadata's digest (cacache's index)
//! ```
//!
//! A question to the store is answered present, absent, or an error; never a bool. What is stored
//! under a digest never changes. The store decides nothing about callers and knows no HTTP and no
//! network; bytes it has not checked in this process it hands out only behind a [`PartialFile`]'s
//! watermark. cacache is named nowhere else.

mod advisories;
mod awaited;
mod blob;
mod blobs;
mod catalog;
mod changes;
mod control_socket;
mod dates;
mod disk_health;
mod error;
mod eviction;
mod folder;
mod folder_facts;
mod hashed_read;
mod holdings;
mod index;
mod index_bucket;
mod index_file;
mod inspection;
mod inventory;
mod layout;
mod learned;
mod ledger;
mod lookup_cache;
mod maintenance_lock;
mod metadata_index;
mod pages;
mod partial_file;
mod peek;
mod reading;
mod set_name;
mod sets;
mod spool;
mod staging;
mod upload_journal;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;

pub use advisories::{
    AdvisoryError, AdvisoryPaths, AdvisoryReading, AdvisoryRecords, LoadedAdvisories,
    StagedAdvisories, imported_advisories,
};
pub use awaited::AwaitedBundles;
pub use blob::{Blob, StoredBlob};
pub use blobs::{BlobLookup, Blobs, Rehashed, Removal};
pub use catalog::{Catalog, CatalogEntry};
pub use control_socket::ControlSocket;
pub use dates::{DateStore, DatedFile, PageDates, PageNews, SeenFile};
pub use disk_health::{BACK_OFF, DiskFault, StoreReading};
pub use error::StoreError;
pub use folder_facts::{DiskSpeed, Filesystem, FolderFacts};
pub use holdings::{Holdings, Projects};
pub use index_file::{IndexFile, IndexLine, IndexSubject};
pub use inspection::FileTotals;
pub use inventory::{HeldFile, HeldMetadata, Inventory};
pub use learned::{BroughtExceptions, Learned, LearnedFacts, NotedExceptions, ParentFacts};
pub use ledger::{Ledger, Reservation};
pub use lookup_cache::LookupCache;
pub use metadata_index::{MetadataIndex, MetadataOrigin, WheelMark};
pub use pages::{PageMeta, PageStore};
pub use partial_file::{Availability, Cause, HELD_BACK_BYTES, PartialFile, ReadSpan};
pub use peek::{Peek, StoredFile, StoredMetadata, StoredPage};
pub use reading::ReadEnd;
pub use set_name::{SetName, SetNameError};
pub use sets::Sets;
pub use spool::{Checked, SealError, Spool, VerifiedSpool};
pub use staging::{StagedBlob, Staging};
pub use upload_journal::{HeldBack, UploadJournal, UploadNote};

use crate::values::clock;
use crate::values::digest::Digest;
use folder::Folder;
use layout::Layout;
use parking_lot::Mutex;

/// Written to find out whether a disk works again.
const PROBE_BYTES: usize = 4096;

/// One cache folder, held exclusively while this lives.
pub struct Store {
    pub blobs: Arc<Blobs>,
    pub catalog: Catalog,
    pub pages: PageStore,
    pub metadata_index: Arc<MetadataIndex>,
    pub sets: Sets,
    pub awaited: AwaitedBundles,
    pub learned: Arc<Learned>,
    pub dates: Arc<DateStore>,
    /// Files that are yet to be uploaded to the shared store.
    pub upload_journal: Arc<UploadJournal>,
    folder: Arc<Folder>,
    /// One import at a time.
    staging: Arc<AtomicBool>,
    lock: Mutex<FolderLock>,
}

/// How the folder is held.
enum FolderLock {
    Held {
        _file: File,
    },
    /// It could not be written at the start. What it lacks is made when it can be.
    Unwritten {
        _file: Option<File>,
    },
}

impl Store {
    /// Opens or makes the folder, takes its lock, and removes what an earlier process left
    /// half-written. A folder that is there and cannot be written is opened as it is: what it holds
    /// can be read, and nothing is stored until [`Self::look_after_disk`] finds that it can be.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process holds the folder; [`StoreError::Io`] if it cannot
    /// be made or locked.
    pub fn open(dir: &Path, budget_bytes: u64) -> Result<Self, StoreError> {
        let why = match held(dir) {
            Ok((layout, file)) => {
                let lock = FolderLock::Held { _file: file };
                return Ok(Self::of(layout, lock, budget_bytes));
            }
            Err(why) => why,
        };
        let layout = match Layout::existing(dir) {
            Some(layout) if why.is_refusal_to_write() => layout,
            _ => return Err(why),
        };
        let lock = FolderLock::Unwritten {
            _file: layout.lock_unwritten()?,
        };
        let store = Self::of(layout, lock, budget_bytes);
        tracing::warn!(error = %why, "the cache folder cannot be written: what it holds is served, everything else is proxied uncached");
        store.back_off(&why, clock::now());
        Ok(store)
    }

    fn of(layout: Layout, lock: FolderLock, budget_bytes: u64) -> Self {
        let folder = Folder::new(layout, budget_bytes);
        Self {
            blobs: Arc::new(Blobs::new(Arc::clone(&folder))),
            catalog: Catalog::new(Arc::clone(&folder)),
            pages: PageStore::new(Arc::clone(&folder)),
            metadata_index: Arc::new(MetadataIndex::new(Arc::clone(&folder))),
            sets: Sets::new(Arc::clone(&folder)),
            awaited: AwaitedBundles::read(Arc::clone(&folder)),
            learned: Arc::new(Learned::new(Arc::clone(&folder))),
            dates: Arc::new(DateStore::new(Arc::clone(&folder))),
            upload_journal: Arc::new(UploadJournal::new(Arc::clone(&folder))),
            folder,
            staging: Arc::default(),
            lock: Mutex::new(lock),
        }
    }

    /// Changes the budget. What is over it stays until room is asked for, or
    /// [`Blobs::fit`].
    pub fn set_budget(&self, bytes: u64) {
        self.folder.ledger.set_budget(bytes);
        self.folder.health.budget_changed(bytes);
    }

    /// What is here, to be asked without asking upstream.
    pub fn holdings(&self) -> Holdings {
        Holdings::new(Arc::clone(&self.folder), self.catalog.clone())
    }

    /// Bytes that are free on the disk of the cache folder, for this process; `None` if the system
    /// does not tell. Blocks.
    pub fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(self.folder.layout.root()).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Room for a body of this size, within the budget and on the disk; of an unknown one nothing
    /// is said. Blocks.
    ///
    /// # Errors
    /// When there is none. Smaller bodies may still find some: the store does not back off for it.
    pub fn reserve(&self, size: Option<u64>, now: Instant) -> Result<Reservation, StoreError> {
        let size = size.unwrap_or(0);
        let reservation = self.blobs.reserve(size)?;
        if size > 0 && self.free_bytes().is_some_and(|free| free < size) {
            let why = StoreError::io("write", self.folder.layout.root())(
                io::ErrorKind::StorageFull.into(),
            );
            self.folder.health.failed(&why, size, now);
            return Err(why);
        }
        Ok(reservation)
    }

    /// Whether the disk failed less than [`BACK_OFF`] ago: nothing new is stored.
    pub fn is_backing_off(&self, now: Instant) -> bool {
        self.folder.health.is_backing_off(now)
    }

    /// A new file for one flight's bytes.
    ///
    /// # Errors
    /// When it cannot be made, or the disk failed less than [`BACK_OFF`] ago.
    pub fn spool(&self, now: Instant) -> Result<Spool, StoreError> {
        if self.is_backing_off(now) {
            return Err(StoreError::BackingOff);
        }
        Spool::create(&self.folder).inspect_err(|why| self.back_off(why, now))
    }

    /// Keeps the metadata that was made of a wheel, and says under which digest. Blocks.
    ///
    /// # Errors
    /// When it does not fit, or the folder cannot be written.
    pub fn keep_metadata(
        &self,
        wheel: WheelMark,
        metadata: &[u8],
        origin: MetadataOrigin,
        now: Instant,
    ) -> Result<Digest, StoreError> {
        let digest = Digest::of(metadata);
        let bytes = metadata.len() as u64;
        let record = || self.metadata_index.record(wheel, digest, bytes, origin);
        let _writing = self.folder.maintenance.enter(Some(digest));
        // The wheels of one version mostly share one METADATA.
        if self.folder.layout.blob(digest).is_file() {
            record()?;
            return Ok(digest);
        }
        let reservation = self.blobs.reserve(bytes)?;
        let mut spool = self.spool(now)?;
        let written = spool
            .write(&[Bytes::copy_from_slice(metadata)])
            .map_err(SealError::of_own_bytes);
        written.inspect_err(|why| self.back_off(why, now))?;
        match spool.check(digest) {
            Checked::Whole(whole) => whole.seal(&self.blobs, reservation, record)?,
            Checked::Wrong(..) => return Err(StoreError::Interrupted),
        }
        Ok(digest)
    }

    /// The store's numbers and how the disk fares.
    pub fn reading(&self, now: Instant) -> StoreReading {
        self.folder.health.read(&self.folder.ledger, now)
    }

    /// Finds out whether a disk that failed works again, and ends the back-off then: a full one by
    /// looking whether what did not fit would fit now, any by writing a little. Until then it
    /// counts as failing; the back-off ends by itself. Without a failure nothing is written, and it
    /// is made known what to evict next. Blocks.
    pub fn look_after_disk(&self, now: Instant) {
        self.blobs.queue_evictions();
        if !self.folder.health.has_fault() {
            return;
        }
        let wanted = self.folder.health.wanted(now);
        if self.free_bytes().is_some_and(|free| free < wanted) {
            return;
        }
        match self.try_disk() {
            Ok(()) => {
                self.folder.health.recovered();
                tracing::info!("the cache folder can be written again");
            }
            Err(why) => self.back_off(&why, now),
        }
    }

    fn try_disk(&self) -> Result<(), StoreError> {
        self.hold()?;
        let mut spool = Spool::create(&self.folder)?;
        let written = spool.write(&[Bytes::from_static(&[0; PROBE_BYTES])]);
        written.map_err(SealError::of_own_bytes)?;
        spool.sync()
    }

    /// Makes up for what could not be done at the start, if there is anything.
    fn hold(&self) -> Result<(), StoreError> {
        let mut lock = self.lock.lock();
        if matches!(*lock, FolderLock::Unwritten { .. }) {
            // First, because the lock is not to be had twice.
            *lock = FolderLock::Unwritten { _file: None };
            let (_, file) = held(self.folder.layout.root())?;
            *lock = FolderLock::Held { _file: file };
        }
        Ok(())
    }

    /// The disk failed at something small: for a while files pass through unstored, instead of
    /// being cut in the middle again.
    pub fn back_off(&self, why: &StoreError, now: Instant) {
        self.fail(why, 0, now);
    }

    /// The same for a body of so many bytes: a full disk counts as one until they would fit.
    pub fn fail(&self, why: &StoreError, bytes: u64, now: Instant) {
        self.folder.health.failed(why, bytes, now);
        self.folder.health.back_off(now);
    }
}

/// The folder with all that it needs, held by this process alone, and nothing half-written in it.
fn held(dir: &Path) -> Result<(Layout, File), StoreError> {
    let layout = Layout::make(dir)?;
    let lock = layout.lock()?;
    layout.sweep()?;
    Ok((layout, lock))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_disk_is_full_until_what_did_not_fit_would_fit()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path(), u64::MAX)?;
        let now = crate::values::clock::now();
        let ill = |store: &Store| store.reading(now).fault.map(|(kind, ..)| kind);
        assert!(store.reserve(None, now).is_ok() && store.reserve(Some(1), now).is_ok());
        assert!(ill(&store).is_none());
        // More than any disk has.
        assert!(store.reserve(Some(1 << 60), now).is_err());
        assert_eq!(ill(&store), Some(DiskFault::Full));
        store.look_after_disk(now);
        assert_eq!(
            ill(&store),
            Some(DiskFault::Full),
            "a little fits, and that is not the question"
        );
        assert!(
            store.reserve(Some(1), now).is_ok() && store.spool(now).is_ok(),
            "smaller bodies are stored"
        );
        let full = StoreError::io("write", dir.path())(io::ErrorKind::StorageFull.into());
        store.fail(&full, 1 << 60, now);
        store.look_after_disk(now);
        assert!(matches!(
            store.spool(now + BACK_OFF - Duration::from_millis(1)),
            Err(StoreError::BackingOff)
        ));
        assert!(store.spool(now + BACK_OFF).is_ok() && ill(&store).is_some());
        store.folder.health.recovered();
        store.fail(&full, 1, now);
        store.look_after_disk(now);
        assert!(ill(&store).is_none(), "what did not fit would fit");
        assert!(store.spool(now).is_ok());
        Ok(())
    }
}
