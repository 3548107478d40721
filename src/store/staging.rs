//! What an import brings, apart from everything else until all of it is known to be right.
//!
//! Owns the order that survives being killed: blobs are written, hashed and synced in a folder of
//! their own, then renamed into place; addresses are recorded after their blobs. Nothing is removed
//! to make room. Everything blocks. Must not know bundles.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Store;
use super::blob::Blob;
use super::catalog::CatalogEntry;
use super::error::StoreError;
use super::hashed_read::hash_file;
use super::layout::{make_dir, sync_dir};
use super::ledger::Reservation;
use super::metadata_index::{MetadataOrigin, WheelMark};
use crate::registry::FileRef;
use crate::values::digest::{Digest, Hasher};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// One import's folder. Dropped before [`Staging::commit`] it leaves nothing behind.
pub struct Staging {
    store: Arc<Store>,
    /// Room for everything that is to come.
    reservation: Option<Reservation>,
    arrived: HashMap<Digest, u64>,
    busy: Arc<AtomicBool>,
}

/// A blob on its way in.
pub struct StagedBlob {
    digest: Digest,
    /// `None`: it is there already, and only looked at.
    file: Option<File>,
    hasher: Hasher,
    size: u64,
}

impl Store {
    /// Begins an import of this many new bytes.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when they do not fit beside what is there; [`StoreError::Importing`]
    /// while another import is under way.
    pub fn stage(self: &Arc<Self>, bytes: u64) -> Result<Staging, StoreError> {
        if self.staging.swap(true, Ordering::AcqRel) {
            return Err(StoreError::Importing);
        }
        let busy = Arc::clone(&self.staging);
        let mut staging = Staging {
            store: Arc::clone(self),
            reservation: None,
            arrived: HashMap::new(),
            busy,
        };
        let folder = self.folder.layout.staging();
        make_dir(&folder).map_err(StoreError::io("make the folder", &folder))?;
        staging.reservation = Some(self.room(bytes)?);
        Ok(staging)
    }

    /// Returns when everything that was written is on the disk, whatever becomes of the power.
    /// Blocks.
    ///
    /// # Errors
    /// When the system cannot do so.
    pub fn sync(&self) -> Result<(), StoreError> {
        let root = self.folder.layout.root();
        let synced = File::open(root).and_then(|root| Ok(rustix::fs::syncfs(root)?));
        synced.map_err(StoreError::io("sync", root))
    }

    /// Promises room without making any. What lies on disk is counted anew: behind a start, the
    /// ledger may not know yet.
    fn room(&self, needed: u64) -> Result<Reservation, StoreError> {
        let ledger = &self.folder.ledger;
        let taken = ledger.taken().max(self.blobs.bytes_on_disk()?);
        let budget = ledger.budget();
        let enough = taken.saturating_add(needed);
        if enough <= budget
            && let Some(reservation) = ledger.reserve(needed)
        {
            return Ok(reservation);
        }
        Err(StoreError::NoRoom {
            needed,
            taken,
            budget,
            enough,
        })
    }
}

impl Staging {
    /// Begins a blob. One whose very bytes are held already is only compared.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn blob(&self, digest: Digest, size: u64) -> Result<StagedBlob, StoreError> {
        let known = self.arrived.contains_key(&digest) || self.is_whole(digest, size);
        let file = if known {
            None
        } else {
            Some(self.create(digest)?)
        };
        Ok(StagedBlob {
            digest,
            file,
            hasher: Hasher::new(),
            size: 0,
        })
    }

    fn is_whole(&self, digest: Digest, size: u64) -> bool {
        if self.store.blob_size(digest) != Some(size) {
            return false;
        }
        let file = File::open(self.store.folder.layout.blob(digest));
        let found = file.and_then(|file| hash_file(&file, CHUNK_BYTES));
        found.is_ok_and(|found| found == digest)
    }

    fn create(&self, digest: Digest) -> Result<File, StoreError> {
        let path = self.store.folder.layout.staged(digest);
        let made = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path);
        made.map_err(StoreError::io("make", &path))
    }

    /// Keeps a blob whose bytes are all here, if they are the right ones.
    ///
    /// # Errors
    /// When they are not, or cannot be made to last.
    pub fn keep(&mut self, arrived: StagedBlob) -> Result<(), StoreError> {
        let StagedBlob {
            digest,
            file,
            hasher,
            size,
        } = arrived;
        let path = self.store.folder.layout.staged(digest);
        if hasher.finish() != digest {
            let why = io::Error::new(io::ErrorKind::InvalidData, "its bytes have another sha256");
            return Err(StoreError::io("keep", &path)(why));
        }
        if let Some(file) = file {
            file.sync_data().map_err(StoreError::io("sync", &path))?;
            self.arrived.insert(digest, size);
        }
        Ok(())
    }

    /// Whether this blob is in the store, or came with this import.
    pub fn holds(&self, digest: Digest, size: u64) -> bool {
        self.arrived.contains_key(&digest) || self.store.blob_size(digest) == Some(size)
    }

    /// Puts every blob into its place, then records whose they are. Killed in between, it leaves a
    /// good store, and can be repeated.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn commit(
        mut self,
        files: &[(FileRef, u64)],
        metadata: &[(FileRef, Digest, u64, MetadataOrigin)],
    ) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        // What is named here is not taken away before it is named, be it new or long here.
        let mut writing = Vec::new();
        for (file, _) in files {
            writing.push(store.folder.maintenance.enter(Some(file.digest)));
        }
        for (_, digest, ..) in metadata {
            writing.push(store.folder.maintenance.enter(Some(*digest)));
        }
        self.place_blobs()?;
        for (file, size) in files {
            let entry = CatalogEntry {
                size: *size,
                ..CatalogEntry::default()
            };
            if !store.catalog.is_recorded(file)? {
                store.catalog.record(file, entry)?;
            }
        }
        for (wheel, digest, size, origin) in metadata {
            let wheel = WheelMark::of(wheel);
            store
                .metadata_index
                .record(wheel, *digest, *size, *origin)?;
        }
        Ok(())
    }

    /// Renames every blob into its place, and has the disk keep their names.
    fn place_blobs(&mut self) -> Result<(), StoreError> {
        let store = &self.store;
        let mut folders = BTreeSet::new();
        let mut bytes = 0;
        for (digest, size) in std::mem::take(&mut self.arrived) {
            let from = store.folder.layout.staged(digest);
            let place = store.folder.layout.blob(digest);
            let folder = place.parent().unwrap_or(&place).to_owned();
            make_dir(&folder).map_err(StoreError::io("make the folder", &folder))?;
            let file = File::open(&from).map_err(StoreError::io("open", &from))?;
            let blob =
                Blob::checked(Arc::new(file), digest).map_err(StoreError::io("stat", &from))?;
            let replaced = store.blob_size(digest);
            fs::rename(&from, &place).map_err(StoreError::io("rename into place", &place))?;
            store.folder.blob_came(replaced);
            store.blobs.remember(blob);
            bytes += size;
            folders.insert(folder);
        }
        if let Some(reservation) = self.reservation.take() {
            reservation.keep(bytes);
        }
        for folder in &folders {
            sync_dir(folder).map_err(StoreError::io("sync the folder", folder))?;
        }
        Ok(())
    }
}

impl StagedBlob {
    /// Whether its bytes are kept; otherwise they are here already.
    pub fn is_new(&self) -> bool {
        self.file.is_some()
    }

    /// # Errors
    /// When the disk does not take them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let folder = self.store.folder.layout.staging();
        if let Err(why) = fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), error = %why, "cannot remove what an import left");
        }
        self.busy.store(false, Ordering::Release);
    }
}
