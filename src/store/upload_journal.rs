//! Which files are yet to be uploaded to the shared store, so that a restart loses none of them.
//!
//! One small file for each, removed when it is there. A file that cannot be read names nothing any
//! more, and is removed. Must not know the shared store.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::StoreError;
use super::folder::Folder;
use super::layout::entries;
use crate::registry::{FileRef, Route};
use crate::values::digest::Digest;

/// Longest file that is read: an address and a sha256.
const NOTE_BYTES_MAX: u64 = 16 << 10;

/// The journal of one folder. What can fail blocks.
pub struct UploadJournal {
    folder: Arc<Folder>,
    /// Files whose queue closed before they were uploaded, for the one that follows it.
    handed_over: Mutex<Vec<FileRef>>,
    came: Notify,
    /// Files that are being purged.
    held_back: Mutex<HashSet<FileRef>>,
}

/// A file that is yet to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadNote {
    pub file: FileRef,
    /// What the shared store holds of it is wrong.
    pub anew: bool,
}

/// The second line of the note of such a file.
const ANEW: &str = "\nanew";

/// A file that is being purged: as long as this is held it must not be uploaded.
pub struct HeldBack<'j> {
    journal: &'j UploadJournal,
    file: FileRef,
}

impl Drop for HeldBack<'_> {
    fn drop(&mut self) {
        self.journal.held_back.lock().remove(&self.file);
    }
}

impl UploadJournal {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            handed_over: Mutex::default(),
            came: Notify::new(),
            held_back: Mutex::default(),
        }
    }

    /// Keeps a file from being uploaded while its address is purged.
    pub fn hold_back(&self, file: &FileRef) -> HeldBack<'_> {
        self.held_back.lock().insert(file.clone());
        HeldBack {
            journal: self,
            file: file.clone(),
        }
    }

    pub fn is_held_back(&self, file: &FileRef) -> bool {
        self.held_back.lock().contains(file)
    }

    /// Gives a file that is noted to the queue that follows.
    pub fn hand_over(&self, file: FileRef) {
        self.handed_over.lock().push(file);
        self.came.notify_one();
    }

    /// What an earlier queue left, once there is something.
    pub async fn handed_over(&self) -> Vec<FileRef> {
        loop {
            let came = self.came.notified();
            let files = std::mem::take(&mut *self.handed_over.lock());
            if !files.is_empty() {
                return files;
            }
            came.await;
        }
    }

    /// Whether this file is yet to be uploaded.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn contains(&self, file: &FileRef) -> Result<bool, StoreError> {
        let path = self.place(file);
        path.try_exists().map_err(StoreError::io("read", &path))
    }

    /// # Errors
    /// When the folder cannot be written.
    pub fn add(&self, note: &UploadNote) -> Result<(), StoreError> {
        let file = &note.file;
        let path = self.place(file);
        let anew = if note.anew { ANEW } else { "" };
        let text = format!("{}  {}{anew}\n", file.digest, file.path());
        let written = self.folder.layout.replace_file(&path, text.as_bytes());
        written.map_err(StoreError::io("write", &path))
    }

    /// # Errors
    /// When the folder cannot be written.
    pub fn remove(&self, file: &FileRef) -> Result<(), StoreError> {
        remove(&self.place(file))
    }

    /// All that is noted, and how many notes named nothing.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(&self) -> Result<(Vec<UploadNote>, usize), StoreError> {
        let mut notes = Vec::new();
        let mut unreadable = 0;
        for path in entries(&self.folder.layout.upload_journal())? {
            match read_note(&path) {
                Some(note) => notes.push(note),
                None => {
                    unreadable += 1;
                    remove(&path)?;
                }
            }
        }
        Ok((notes, unreadable))
    }

    /// How many files are noted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn noted(&self) -> Result<u64, StoreError> {
        Ok(entries(&self.folder.layout.upload_journal())?.len() as u64)
    }

    fn place(&self, file: &FileRef) -> PathBuf {
        let name = Digest::of(file.path().as_bytes());
        self.folder.layout.upload_note(name)
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(why))
        }
        _ => Ok(()),
    }
}

fn read_note(path: &Path) -> Option<UploadNote> {
    if path.symlink_metadata().ok()?.len() > NOTE_BYTES_MAX {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let text = text.strip_suffix('\n')?;
    let line = text.strip_suffix(ANEW).unwrap_or(text);
    let anew = line.len() < text.len();
    let (digest, address) = line.split_once("  ")?;
    let digest = Digest::parse(digest)?;
    let file = match Route::from_path(address).ok()? {
        Route::File(file) if file.digest == digest => file,
        Route::Mirrored(path) => FileRef::mirrored(&path, digest),
        _ => return None,
    };
    Some(UploadNote { file, anew })
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;

    fn file(address: &str) -> FileRef {
        match Route::from_path(address) {
            Ok(Route::File(file)) => file,
            Ok(Route::Mirrored(path)) => FileRef::mirrored(&path, Digest::of(b"x")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_noted_is_read_back_by_another_process_until_it_is_removed()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let journal = || -> Result<UploadJournal, StoreError> {
            let layout = Layout::make(dir.path())?;
            Ok(UploadJournal::new(Folder::new(layout, 1 << 20)))
        };
        let digest = "0123456789abcdef".repeat(4);
        let of_gitlab = format!("/api/v4/projects/42/packages/pypi/files/{digest}/demo-1.0.tar.gz");
        let of_mirror = "/pypi/packages/aa/demo-1.0.tar.gz";
        let mut notes = [(of_gitlab.as_str(), false), (of_mirror, true)].map(|(address, anew)| {
            let file = file(address);
            UploadNote { file, anew }
        });
        notes.sort_by_key(|note| note.file.path());
        for note in &notes {
            journal()?.add(note)?;
            journal()?.add(note)?;
        }
        let folder = Layout::make(dir.path())?.upload_journal();
        fs::write(folder.join("torn"), &of_gitlab[..20])?;
        let (mut read, unreadable) = journal()?.read()?;
        read.sort_by_key(|note| note.file.path());
        assert_eq!((read.as_slice(), unreadable), (notes.as_slice(), 1));
        assert_eq!(journal()?.read()?.1, 0, "it is told once");
        for note in &notes {
            journal()?.remove(&note.file)?;
            journal()?.remove(&note.file)?;
        }
        assert_eq!(journal()?.read()?, (Vec::new(), 0));
        Ok(())
    }
}
