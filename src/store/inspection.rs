//! The store as a whole, for maintenance: what there is, what is said of it, and taking it away
//! again.
//!
//! Everything here blocks and walks the folder; it may run beside clients, whose work it never
//! touches: what is being put in holds the
//! [`MaintenanceLock`](super::maintenance_lock::MaintenanceLock). Must not decide what should go.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

use super::Store;
use super::blob::{self, StoredBlob};
use super::blobs::Removal;
use super::error::StoreError;
use super::index_bucket::IndexBucket;
use super::index_file::{self, IndexFile, IndexLine, IndexSubject};
use super::layout::{entries, read, sync_dir};
use crate::registry::Route;
use crate::values::digest::Digest;

/// For a moment at which no task puts anything in.
const QUIET_WITHIN: Duration = Duration::from_secs(2);

/// A file beside the store proper: set aside, or under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTotals {
    pub count: u64,
    pub bytes: u64,
}

impl FileTotals {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl Store {
    /// Every blob: files, pages' bodies, metadata.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn every_blob(&self) -> Result<Vec<StoredBlob>, StoreError> {
        blob::every(&self.folder.layout)
    }

    /// The blob of this digest, if it is there.
    pub fn stored_blob(&self, digest: Digest) -> Option<StoredBlob> {
        let meta = self.folder.layout.blob(digest).symlink_metadata().ok()?;
        if meta.is_file() {
            Some(StoredBlob::of(digest, &meta))
        } else {
            None
        }
    }

    /// Shows every file of the index, one at a time.
    ///
    /// # Errors
    /// When the folder cannot be read, or whatever the visitor says.
    pub fn every_line<E: From<StoreError>>(
        &self,
        visit: impl FnMut(IndexFile) -> Result<(), E>,
    ) -> Result<(), E> {
        index_file::every_line(&self.folder.layout, visit)
    }

    /// Rewrites a file of the index without the lines that count no more.
    ///
    /// # Errors
    /// When the folder cannot be written; the file is as before then.
    pub fn compact(&self, file: &IndexFile) -> Result<Removal, StoreError> {
        let Some(_closed) = self.folder.maintenance.alone(QUIET_WITHIN) else {
            return Ok(Removal::Busy);
        };
        let path = &file.path;
        let Some(before) = read(path)? else {
            return Ok(Removal::Changed);
        };
        let mut bucket = IndexBucket::read(&before);
        if bucket.live.iter().any(|line| line.digest().is_none()) {
            bucket = without_senseless(&bucket);
        }
        let freed = before.len().saturating_sub(bucket.compact.len()) as u64;
        if bucket.live.is_empty() {
            fs::remove_file(path).map_err(StoreError::io("remove", path))?;
            return Ok(Removal::Removed(freed));
        }
        let folder = path.parent().unwrap_or(path);
        let spool = self.folder.layout.spool();
        let mut new =
            NamedTempFile::new_in(&spool).map_err(StoreError::io("make a file in", &spool))?;
        let written = new.write_all(&bucket.compact);
        let written = written.and_then(|()| new.as_file().sync_data());
        written.map_err(StoreError::io("write", new.path()))?;
        new.persist(path)
            .map_err(|why| StoreError::io("rename into place", path)(why.error))?;
        sync_dir(folder).map_err(StoreError::io("sync the folder", folder))?;
        Ok(Removal::Removed(freed))
    }

    /// Takes a line out of the index, and out of what is remembered of it.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn forget(&self, line: &IndexLine) -> Result<(), StoreError> {
        match &line.subject {
            IndexSubject::File { file, .. } => self.catalog.forget(file),
            IndexSubject::Metadata { wheel } => self.metadata_index.forget(*wheel),
            IndexSubject::Page { page, format, .. } | IndexSubject::Withdrawn { page, format } => {
                self.pages.forget(&Route::Page(page.clone()), *format)
            }
            IndexSubject::Unknown => Ok(()),
        }
    }

    /// What is put in while the work runs is not taken away by [`Self::take_blob`].
    pub fn watched<T>(&self, work: impl FnOnce() -> T) -> T {
        let _watch = self.folder.maintenance.watch();
        work()
    }

    /// Takes a blob away, unless a task has put it in anew since the list was made or refers to it
    /// since [`Self::watched`] began. Who reads it reads on.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn take_blob(&self, blob: &StoredBlob) -> Result<Removal, StoreError> {
        let Some(closed) = self.folder.maintenance.alone(QUIET_WITHIN) else {
            return Ok(Removal::Busy);
        };
        if closed.is_new(blob.digest) {
            return Ok(Removal::Changed);
        }
        self.blobs.take(blob)
    }

    /// Damaged files that were set aside.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn quarantined(&self) -> Result<FileTotals, StoreError> {
        beside(&self.folder.layout.quarantine_folder())
    }

    /// Files under way.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn under_way(&self) -> Result<FileTotals, StoreError> {
        beside(&self.folder.layout.spool())
    }

    /// Removes what was set aside before `until`, or only counts it.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn clear_quarantine(
        &self,
        until: SystemTime,
        dry_run: bool,
    ) -> Result<FileTotals, StoreError> {
        let mut gone = FileTotals::default();
        for path in entries(&self.folder.layout.quarantine_folder())? {
            // `rename` changes the time of the inode, not of the bytes.
            let Ok(meta) = path.symlink_metadata() else {
                continue;
            };
            if changed(&meta) >= until {
                continue;
            }
            if !dry_run {
                fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            }
            gone.add(meta.len());
        }
        Ok(gone)
    }
}

/// Lines whose integrity is none are as good as torn.
fn without_senseless(bucket: &IndexBucket) -> IndexBucket {
    let lines = bucket.compact.split(|byte| *byte == b'\n');
    let texts = lines.filter(|line| !line.is_empty());
    let mut kept = Vec::new();
    for (text, line) in texts.zip(&bucket.live) {
        if line.digest().is_some() {
            kept.push(b'\n');
            kept.extend_from_slice(text);
        }
    }
    IndexBucket::read(&kept)
}

fn changed(meta: &fs::Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt;
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(meta.ctime()).unwrap_or_default())
}

fn beside(folder: &Path) -> Result<FileTotals, StoreError> {
    let mut sum = FileTotals::default();
    for path in entries(folder)? {
        if let Ok(meta) = path.symlink_metadata() {
            sum.add(meta.len());
        }
    }
    Ok(sum)
}
