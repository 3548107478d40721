//! A download's own file: bytes go in, and either a verified blob comes out or nothing does.
//!
//! Owns the order that survives power loss: write, check length and digest, fsync the file, rename
//! it into the content layout, fsync the folder (cacache itself never fsyncs). What touches the
//! file blocks: run it on a blocking thread. Must not know the network.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, pwritev};
use tempfile::{NamedTempFile, TempPath};

use super::blob::Blob;
use super::blobs::Blobs;
use super::error::StoreError;
use super::folder::Folder;
use super::layout::{make_dir, sync_dir};
use super::ledger::Reservation;
use super::partial_file::{Cause, PartialFile};
use crate::values::clock;
use crate::values::digest::{Digest, Hasher};

/// Pieces written by one system call: the most that Linux takes.
const PIECES_MAX: usize = 1024;

/// From this length on the disk is asked to set the room aside.
const ALLOCATED_BYTES_MIN: u64 = 1 << 20;

/// The writing side of a [`PartialFile`] file. Dropped before [`VerifiedSpool::seal`], it leaves
/// its readers a failure.
pub struct Spool {
    file: Arc<File>,
    /// None once the file has its lasting name.
    path: Option<TempPath>,
    partial: Arc<PartialFile>,
    hasher: Hasher,
    written: u64,
    size: Option<u64>,
    folder: Arc<Folder>,
}

/// Why a spool did not become a blob.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("{0}")]
    Body(Cause),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SealError {
    /// What it comes to for bytes whose length nothing announced.
    pub(super) fn of_own_bytes(self) -> StoreError {
        match self {
            Self::Store(why) => why,
            Self::Body(_) => StoreError::Interrupted,
        }
    }
}

impl Spool {
    pub(super) fn create(folder: &Arc<Folder>) -> Result<Self, StoreError> {
        let dir = folder.layout.spool();
        let made = NamedTempFile::new_in(&dir).map_err(StoreError::io("make a file in", &dir))?;
        let (file, path) = made.into_parts();
        let file = Arc::new(file);
        let partial = Arc::new(PartialFile::new(Arc::clone(&file)));
        Ok(Self {
            file,
            path: Some(path),
            partial,
            hasher: Hasher::new(),
            written: 0,
            size: None,
            folder: Arc::clone(folder),
        })
    }

    pub fn partial(&self) -> &Arc<PartialFile> {
        &self.partial
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    /// The length that upstream announced.
    pub fn announce(&mut self, size: Option<u64>) {
        self.size = size;
        self.partial.announce(size);
    }

    /// Has the disk set aside the length that was announced, so that a large file lies in one piece.
    /// A file system that cannot is not at fault: the writes say whether there is room.
    pub fn allocate(&self) {
        let Some(size) = self.size else {
            return;
        };
        if size < ALLOCATED_BYTES_MIN {
            return;
        }
        if let Err(why) = fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, size) {
            tracing::debug!(error = %why, "the disk sets nothing aside for a download");
        }
    }

    /// Appends pieces and lets readers see them, before they are hashed: the watermark keeps the
    /// last ones back until the digest agrees.
    ///
    /// # Errors
    /// [`SealError::Body`] with [`Cause::Long`] if the body outgrows its announced length; store
    /// errors as they come.
    pub fn write(&mut self, pieces: &[Bytes]) -> Result<(), SealError> {
        let lengths = pieces.iter().map(|piece| piece.len() as u64);
        let bytes: u64 = lengths.sum();
        let end = self.written + bytes;
        if self.size.is_some_and(|size| end > size) {
            return Err(SealError::Body(Cause::Long));
        }
        write_all_at(&self.file, pieces, self.written)
            .map_err(StoreError::io("write", self.place()))?;
        self.folder.health.spooled(bytes);
        self.written = end;
        self.partial.advance(end);
        for piece in pieces {
            self.hasher.update(piece);
        }
        Ok(())
    }

    /// Has the disk keep what was written.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file
            .sync_data()
            .map_err(StoreError::io("sync", self.place()))
    }

    /// Forgets everything written, if no reader has seen any of it.
    ///
    /// # Errors
    /// When the file cannot be emptied.
    pub fn start_over(&mut self) -> Result<bool, StoreError> {
        if !self.partial.start_over() {
            return Ok(false);
        }
        self.file
            .set_len(0)
            .map_err(StoreError::io("empty", self.place()))?;
        self.hasher = Hasher::new();
        self.folder.health.unspooled(self.written);
        self.written = 0;
        self.size = None;
        Ok(true)
    }

    /// Checks length and digest, and lets the readers have the rest if both agree: they wait for
    /// no disk, because a sync can take longer than the download. A spool that is wrong can still
    /// be started over.
    pub fn check(self, digest: Digest) -> Checked {
        if self.size.is_some_and(|size| size != self.written) {
            return Checked::Wrong(self, Cause::Short);
        }
        if self.hasher.clone().finish() != digest {
            return Checked::Wrong(self, Cause::WrongDigest);
        }
        self.partial.seal(self.written);
        Checked::Whole(VerifiedSpool {
            spool: self,
            digest,
        })
    }

    /// Takes the bytes for what they are, where no digest was promised.
    ///
    /// # Errors
    /// When they are fewer than were announced.
    pub fn adopt(self) -> Result<VerifiedSpool, Cause> {
        let digest = self.hasher.clone().finish();
        match self.check(digest) {
            Checked::Whole(whole) => Ok(whole),
            Checked::Wrong(_, cause) => Err(cause),
        }
    }

    fn place(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new("the spool"))
    }

    /// Tells the readers why nothing more will come.
    pub fn fail(self, cause: Cause) {
        if cause == Cause::Full {
            self.partial.leave_off(self.hasher.clone(), self.written);
        }
        self.partial.fail(cause);
    }
}

/// Writes all of these, one behind the other.
fn write_all_at(file: &File, pieces: &[Bytes], mut position: u64) -> io::Result<()> {
    let slices = pieces.iter().map(|piece| IoSlice::new(piece));
    let mut slices: Vec<IoSlice<'_>> = slices.collect();
    let mut left = slices.as_mut_slice();
    // Empty ones are no writes.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let some = &left[..left.len().min(PIECES_MAX)];
        match pwritev(file, some, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut left, written);
            }
            Err(Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Ok(())
}

/// What a check found.
pub enum Checked {
    Whole(VerifiedSpool),
    Wrong(Spool, Cause),
}

/// A spool whose length and digest agreed: the only thing that becomes a blob.
pub struct VerifiedSpool {
    spool: Spool,
    digest: Digest,
}

impl VerifiedSpool {
    pub fn size(&self) -> u64 {
        self.spool.written
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn file(&self) -> &Arc<File> {
        &self.spool.file
    }

    /// Makes the bytes a blob, and has `record` write down whose they are.
    ///
    /// # Errors
    /// When the blob cannot be made to last, or `record` fails. The readers get the verified bytes
    /// all the same, unless the disk could not take them: what it gives back from then on is
    /// unknown, so a reader that has not come to the end by then is cut.
    pub fn seal(
        self,
        blobs: &Blobs,
        reservation: Reservation,
        record: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let folder = Arc::clone(&self.spool.folder);
        let bytes = self.spool.written;
        let sealed = self.make_last(blobs, reservation, record);
        match &sealed {
            Ok(()) => folder.health.wrote(bytes),
            Err(why) => folder.health.failed(why, 0, clock::now()),
        }
        sealed
    }

    fn make_last(
        mut self,
        blobs: &Blobs,
        reservation: Reservation,
        record: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if let Err(why) = self.spool.file.sync_data() {
            self.spool.partial.take_back();
            return Err(StoreError::io("sync", self.spool.place())(why));
        }
        let folder = Arc::clone(&self.spool.folder);
        let _writing = folder.maintenance.enter(Some(self.digest));
        self.keep(blobs, reservation)?;
        record()
    }

    fn keep(&mut self, blobs: &Blobs, reservation: Reservation) -> Result<(), StoreError> {
        let place = self.spool.folder.layout.blob(self.digest);
        let folder = place.parent().unwrap_or(&place);
        // Its stamp is taken while nothing else can reach it: a change that comes later is a
        // change.
        let file = Arc::clone(&self.spool.file);
        let blob =
            Blob::checked(file, self.digest).map_err(StoreError::io("stat", self.spool.place()))?;
        make_dir(folder).map_err(StoreError::io("make the folder", folder))?;
        let replaced = place.metadata().ok().map(|meta| meta.len());
        if let Some(path) = self.spool.path.take() {
            path.persist(&place)
                .map_err(|why| StoreError::io("rename into place", &place)(why.error))?;
        }
        reservation.keep(self.spool.written);
        self.spool.folder.blob_came(replaced);
        sync_dir(folder).map_err(StoreError::io("sync the folder", folder))?;
        blobs.remember(blob);
        self.spool.folder.changes.note();
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.folder.health.unspooled(self.written);
        self.partial.fail(Cause::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_lie_one_behind_the_other_however_many_they_are_and_however_short() -> io::Result<()> {
        let mut file = tempfile::tempfile()?;
        let pieces: Vec<Bytes> = (0..3 * PIECES_MAX)
            .map(|number| vec![number as u8; number % 3].into())
            .collect();
        write_all_at(&file, &[Bytes::from_static(b"head")], 0)?;
        write_all_at(&file, &pieces, 4)?;
        write_all_at(&file, &[Bytes::new(), Bytes::new()], 0)?;
        let mut read = Vec::new();
        file.read_to_end(&mut read)?;
        assert_eq!(read, [b"head".to_vec(), pieces.concat()].concat());
        Ok(())
    }
}
