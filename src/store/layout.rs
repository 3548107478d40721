//! Every path below the cache folder, drawn once. No other file joins one.
//!
//! ```text
//! <cache_dir>/
//!   .lock                                   held exclusively by the daemon
//!   .control                                its socket for commands
//!   content-v2/sha256/ab/cd/<60 hex>        blobs, in cacache's layout
//!   index-v5/…                              cacache's index: the catalogue, the pages, the metadata
//!   tmp/                                    cacache's own half-written files
//!   spool/                                  flights' half-written files
//!   staging/                                what an import has brought, until all of it is known to be right
//!   sets/<name>                             named sets of files
//!   awaited/<bundle>                        split bundles of which not all parts have come
//!   shared-uploads/<sha256 of an address>   files that are yet to be uploaded to the shared store
//!   advisories.jsonl                        records of advisories that a bundle brought
//!   learned.json                            what was learned of upstreams
//!   dates/<sha256 of a page's path>         sizes and upload dates of the files of GitLab's pages
//!   quarantine/<digest>.<n>                 blobs whose bytes were found wrong
//! ```
//!
//! Must not know what is in the files.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::StoreError;
use super::set_name::SetName;
use crate::values::digest::Digest;

/// Damaged blobs kept for a person to look at; older ones are removed.
const QUARANTINE_MAX: usize = 16;

/// The socket for commands, below the cache folder.
pub const CONTROL_SOCKET: &str = ".control";

pub struct Layout {
    root: PathBuf,
}

impl Layout {
    pub fn make(root: &Path) -> Result<Self, StoreError> {
        let layout = Self {
            root: root.to_owned(),
        };
        for dir in [
            layout.root.clone(),
            layout.spool(),
            layout.quarantine_folder(),
            layout.content(),
        ] {
            make_dir(&dir).map_err(StoreError::io("make the folder", &dir))?;
        }
        Ok(layout)
    }

    /// The folder as it is, if it is there; nothing is made.
    pub fn existing(root: &Path) -> Option<Self> {
        root.is_dir().then(|| Self {
            root: root.to_owned(),
        })
    }

    /// Made when a larder first holds the folder.
    pub fn lock_file(root: &Path) -> PathBuf {
        root.join(".lock")
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn index(&self) -> PathBuf {
        self.root.join("index-v5")
    }

    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    pub fn content(&self) -> PathBuf {
        self.root.join("content-v2").join("sha256")
    }

    /// What an import has brought so far.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// A blob on its way in.
    pub fn staged(&self, digest: Digest) -> PathBuf {
        self.staging().join(digest.to_string())
    }

    pub fn sets(&self) -> PathBuf {
        self.root.join("sets")
    }

    /// The file of a set, by its checked name.
    pub fn set(&self, name: &SetName) -> PathBuf {
        self.sets().join(name.as_str())
    }

    pub fn awaited(&self) -> PathBuf {
        self.root.join("awaited")
    }

    /// The note about a bundle, by its id.
    pub fn awaited_bundle(&self, bundle: &str) -> PathBuf {
        self.awaited().join(bundle)
    }

    pub fn upload_journal(&self) -> PathBuf {
        self.root.join("shared-uploads")
    }

    /// The note about a file, by the digest of its address.
    pub fn upload_note(&self, address: Digest) -> PathBuf {
        self.upload_journal().join(address.to_string())
    }

    /// Records of advisories that a bundle brought.
    pub(super) fn advisories(root: &Path) -> PathBuf {
        root.join("advisories.jsonl")
    }

    /// What was learned of upstreams.
    pub(super) fn learned(&self) -> PathBuf {
        self.root.join("learned.json")
    }

    /// Sizes and upload dates of the files of a page, by its path.
    pub(super) fn dates(&self, page: &str) -> PathBuf {
        let name = Digest::of(page.as_bytes()).to_string();
        self.root.join("dates").join(name)
    }

    /// Where cacache looks for this content (pinned by a test).
    pub fn blob(&self, digest: Digest) -> PathBuf {
        let hex = digest.to_string();
        self.content()
            .join(&hex[0..2])
            .join(&hex[2..4])
            .join(&hex[4..])
    }

    /// The size of a blob that is there.
    pub fn blob_size(&self, digest: Digest) -> Option<u64> {
        let meta = self.blob(digest).metadata().ok()?;
        if meta.is_file() {
            Some(meta.len())
        } else {
            None
        }
    }

    /// The file of a blob that is there.
    pub fn open_blob(&self, digest: Digest) -> Result<Option<File>, StoreError> {
        let path = self.blob(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(StoreError::io("open", &path)(why)),
        }
    }

    /// The digest that a path below [`Self::content`] stands for.
    pub fn digest_of(&self, path: &Path) -> Option<Digest> {
        let below = path.strip_prefix(self.content()).ok()?;
        let hex: String = below.iter().map(|part| part.to_string_lossy()).collect();
        Digest::parse(&hex)
    }

    pub fn quarantine_folder(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Takes a blob out of reach. Its name tells what it should have been.
    ///
    /// Only this very file: a download may have put a good one into its place meanwhile. If it
    /// cannot be kept for a person to look at, it is removed.
    pub fn quarantine(&self, digest: Digest, damaged: &File) -> io::Result<()> {
        let path = self.blob(digest);
        if path.metadata()?.ino() != damaged.metadata()?.ino() {
            return Ok(());
        }
        self.quarantine_file(digest)
            .or_else(|_| fs::remove_file(&path))
    }

    /// Removes a blob that has no bytes, unless that is what its digest promises. Says whether it
    /// did.
    pub fn remove_empty_blob(&self, digest: Digest) -> bool {
        let path = self.blob(digest);
        let is_empty = path
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() == 0);
        is_empty && digest != Digest::of(b"") && fs::remove_file(&path).is_ok()
    }

    /// Replaces a small file as a whole: its bytes, then its name, then the folder are on the disk.
    pub fn replace_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        make_dir(folder)?;
        // Made where a process that is killed has it swept away.
        let mut file = NamedTempFile::new_in(self.spool())?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|why| why.error)?;
        sync_dir(folder)
    }

    fn quarantine_file(&self, digest: Digest) -> io::Result<()> {
        let dir = self.quarantine_folder();
        let mut kept: Vec<PathBuf> = fs::read_dir(&dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        kept.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
        let excess = (kept.len() + 1).saturating_sub(QUARANTINE_MAX);
        for old in kept.iter().take(excess) {
            fs::remove_file(old)?;
        }
        let mut number = 0;
        let place = loop {
            let place = dir.join(format!("{digest}.{number}"));
            if !place.exists() {
                break place;
            }
            number += 1;
        };
        fs::rename(self.blob(digest), place)
    }

    /// The lock of a folder that cannot be written; none if it has none, and so was never held.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process holds the lock.
    pub fn lock_unwritten(&self) -> Result<Option<File>, StoreError> {
        let Ok(file) = File::open(Self::lock_file(&self.root)) else {
            return Ok(None);
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(self.root.clone())),
            // Of another's file, or on a share that knows no locks: nothing is written here anyway.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
        }
    }

    /// # Errors
    /// [`StoreError::InUse`] when another process holds the lock.
    pub fn lock(&self) -> Result<File, StoreError> {
        let path = Self::lock_file(&self.root);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open the lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(self.root.clone())),
            Err(TryLockError::Error(source)) => Err(StoreError::Io {
                what: "lock",
                path,
                source,
            }),
        }
    }

    /// Removes what a process that was killed left half-written.
    pub fn sweep(&self) -> Result<(), StoreError> {
        for dir in [self.spool(), self.staging(), self.root.join("tmp")] {
            for path in entries(&dir)? {
                fs::remove_file(&path).map_err(StoreError::io("remove the leftover", &path))?;
            }
        }
        Ok(())
    }
}

/// What is in a folder; nothing, if it is not there.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let listed = listed(folder)?.into_iter();
    Ok(listed.map(|entry| entry.path()).collect())
}

fn listed(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().collect()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(StoreError::io("read", folder)(why)),
    }
}

/// Shows every file below a folder, in no order.
pub fn each_file<E: From<StoreError>>(
    folder: PathBuf,
    mut visit: impl FnMut(PathBuf) -> Result<(), E>,
) -> Result<(), E> {
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in listed(&folder)? {
            // The folder tells it, without a look at each file.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else {
                visit(entry.path())?;
            }
        }
    }
    Ok(())
}

/// A whole file; nothing, if it is not there.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(StoreError::io("read", path)(why)),
    }
}

/// Has the disk keep a folder's names.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes a folder and its parents, closed to other users: what is inside may be private.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_lies_where_cacache_finds_it() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let layout = Layout::make(dir.path())?;
        let digest = Digest::of(b"some wheel");
        cacache::write_hash_sync(dir.path(), b"some wheel")?;
        assert!(layout.blob(digest).is_file());
        assert_eq!(layout.digest_of(&layout.blob(digest)), Some(digest));
        Ok(())
    }

    #[test]
    fn a_second_daemon_is_told_so() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let layout = Layout::make(dir.path())?;
        let held = layout.lock()?;
        assert!(matches!(layout.lock(), Err(StoreError::InUse(_))));
        drop(held);
        assert!(layout.lock().is_ok());
        Ok(())
    }
}
