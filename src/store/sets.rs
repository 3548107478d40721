//! Named sets: which files belong together, for whoever exports them and for whoever must not remove them.
//!
//! A set is a small file of addresses in the folder, replaced as a whole. Must not know why somebody wants them.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::NamedTempFile;

use super::error::StoreError;
use super::layout::{Layout, make_dir};
use super::set_name::{FILES_MAX, SetName};
use crate::registry::{FileRef, Route};
use crate::values::digest::Digest;

/// The sets of one folder. Everything blocks.
pub struct Sets {
    layout: Arc<Layout>,
    /// One change at a time: a merge reads what it replaces.
    changing: Mutex<()>,
}

impl Sets {
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        Self {
            layout,
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
        all.extend(files.iter().map(|file| (address(file), file.digest)));
        self.write(name, &all)
    }

    /// Makes a set of these files alone.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn replace(&self, name: &SetName, files: &[FileRef]) -> Result<usize, StoreError> {
        let _one_at_a_time = self.changing.lock();
        self.write(
            name,
            &files
                .iter()
                .map(|file| (address(file), file.digest))
                .collect(),
        )
    }

    /// The files of a set, address and sha256; `None` if there is no such set.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(&self, name: &SetName) -> Result<Option<BTreeMap<String, Digest>>, StoreError> {
        let path = self.layout.set(name);
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
        let folder = self.layout.sets();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(why) => return Err(StoreError::io("read", &folder)(why)),
        };
        let named = |entry: fs::DirEntry| SetName::parse(entry.file_name().to_str()?).ok();
        let mut names: Vec<SetName> = entries.flatten().filter_map(named).collect();
        names.sort();
        Ok(names)
    }

    /// The contents of all sets: what nobody may remove because nobody uses it.
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
        let (folder, path) = (self.layout.sets(), self.layout.set(name));
        let failed = |why: io::Error| StoreError::io("write the set", &path)(why);
        make_dir(&folder).map_err(failed)?;
        // Made where a process that is killed has it swept away.
        let mut file = NamedTempFile::new_in(self.layout.spool()).map_err(failed)?;
        let lines: String = files
            .iter()
            .map(|(address, sum)| format!("{sum}  {address}\n"))
            .collect();
        file.write_all(lines.as_bytes())
            .and_then(|()| file.as_file().sync_all())
            .map_err(failed)?;
        file.persist(&path).map_err(|why| failed(why.error))?;
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(files.len())
    }
}

fn address(file: &FileRef) -> String {
    Route::File(file.clone()).path()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let sets = Sets::new(Arc::new(Layout::make(dir.path())?));
        let name = SetName::parse("web")?;
        let (one, two) = (file("a-1.tar.gz")?, file("a-2.tar.gz")?);
        assert!(sets.read(&name)?.is_none() && sets.names()?.is_empty());
        assert_eq!(sets.add(&name, std::slice::from_ref(&one))?, 1);
        assert_eq!(sets.add(&name, &[one.clone(), two.clone()])?, 2);
        let again = Sets::new(Arc::new(Layout::make(dir.path())?));
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
