//! Named sets of files, read by the export and by eviction, which spares what a set names.
//!
//! A set is a small file of addresses in the folder, replaced as a whole. Must not know what a set
//! is for.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::StoreError;
use super::folder::Folder;
use super::layout::entries;
use super::set_name::{FILES_MAX, SetName};
use crate::registry::FileRef;
use crate::values::digest::Digest;

/// The sets of one folder. Everything blocks.
pub struct Sets {
    folder: Arc<Folder>,
    /// One change at a time: a merge reads what it replaces.
    changing: Mutex<()>,
}

impl Sets {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            changing: Mutex::default(),
        }
    }

    /// Adds files to a set, which is made if need be; says how many it has then.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or the set becomes larger than a million files.
    pub fn add(&self, name: &SetName, files: &[FileRef]) -> Result<usize, StoreError> {
        let _one_at_a_time = self.changing.lock();
        let mut all = self.read(name)?.unwrap_or_default();
        all.extend(files.iter().map(|file| (file.path(), file.digest)));
        self.write(name, &all)
    }

    /// Makes a set of these files alone.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn replace(&self, name: &SetName, files: &[FileRef]) -> Result<usize, StoreError> {
        let _one_at_a_time = self.changing.lock();
        let all = files.iter().map(|file| (file.path(), file.digest));
        self.write(name, &all.collect())
    }

    /// The files of a set, address and sha256; `None` if there is no such set.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(&self, name: &SetName) -> Result<Option<BTreeMap<String, Digest>>, StoreError> {
        let path = self.folder.layout.set(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(StoreError::io("read the set", &path)(why)),
        };
        let line = |line: &str| {
            let (sum, address) = line.split_once("  ")?;
            Some((address.to_owned(), Digest::parse(sum)?))
        };
        Ok(Some(
            text.lines().filter_map(line).take(FILES_MAX).collect(),
        ))
    }

    /// The names of all sets, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<SetName>, StoreError> {
        let mut names = Vec::new();
        for path in entries(&self.folder.layout.sets())? {
            if let Some(name) = path.file_name().and_then(OsStr::to_str) {
                names.extend(SetName::parse(name));
            }
        }
        names.sort();
        Ok(names)
    }

    /// The contents of all sets, which must not be removed for being unused.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn digests(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut digests = HashSet::new();
        for name in self.names()? {
            digests.extend(self.read(&name)?.unwrap_or_default().into_values());
        }
        Ok(digests)
    }

    fn write(&self, name: &SetName, files: &BTreeMap<String, Digest>) -> Result<usize, StoreError> {
        if files.len() > FILES_MAX {
            return Err(StoreError::SetTooLarge(name.clone()));
        }
        let mut lines = String::new();
        for (address, sum) in files {
            lines.push_str(&format!("{sum}  {address}\n"));
        }
        let path = self.folder.layout.set(name);
        let written = self.folder.layout.replace_file(&path, lines.as_bytes());
        written.map_err(StoreError::io("write the set", &path))?;
        Ok(files.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;
    use crate::registry::Route;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    fn file(name: &str) -> Result<FileRef, Box<dyn std::error::Error>> {
        let sum = Digest::of(name.as_bytes());
        match Route::from_path(&format!(
            "/api/v4/projects/42/packages/pypi/files/{sum}/{name}"
        ))? {
            Route::File(file) => Ok(file),
            _ => Err("a file".into()),
        }
    }

    #[test]
    fn a_set_is_merged_or_replaced_and_survives() -> Checked {
        let dir = tempfile::tempdir()?;
        let sets = Sets::new(Folder::new(Layout::make(dir.path())?, 0));
        let name = SetName::parse("web")?;
        let one = file("a-1.tar.gz")?;
        let two = file("a-2.tar.gz")?;
        assert!(sets.read(&name)?.is_none() && sets.names()?.is_empty());
        assert_eq!(sets.add(&name, std::slice::from_ref(&one))?, 1);
        assert_eq!(sets.add(&name, &[one.clone(), two.clone()])?, 2);
        let again = Sets::new(Folder::new(Layout::make(dir.path())?, 0));
        assert_eq!(again.names()?, std::slice::from_ref(&name));
        assert_eq!(again.digests()?, HashSet::from([one.digest, two.digest]));
        assert_eq!(again.replace(&name, std::slice::from_ref(&two))?, 1);
        assert_eq!(
            again
                .read(&name)?
                .unwrap_or_default()
                .into_values()
                .collect::<Vec<_>>(),
            [two.digest]
        );
        Ok(())
    }
}
