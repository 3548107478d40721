//! Records that a bundle brings, on their way to where `policy.advisories = "imported"` reads them.
//!
//! They replace those of before as a whole, with the date that they had where they were exported, so
//! that they are not newer here than there. Must not know bundles.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::layout::{Layout, sync_dir};

/// Records that are still coming in.
pub struct StagedAdvisories {
    file: BufWriter<NamedTempFile>,
    place: PathBuf,
}

/// Where records are that a bundle brought.
pub fn imported_advisories(cache_dir: &Path) -> PathBuf {
    Layout::advisories(cache_dir)
}

impl Store {
    /// Begins to take records in.
    ///
    /// # Errors
    /// When their file cannot be made.
    pub fn stage_advisories(&self) -> Result<StagedAdvisories, StoreError> {
        let spool = self.folder.layout.spool();
        let file = NamedTempFile::new_in(&spool);
        let file = file.map_err(StoreError::io("make a file in", &spool))?;
        Ok(StagedAdvisories {
            file: BufWriter::new(file),
            place: Layout::advisories(self.folder.layout.root()),
        })
    }
}

impl StagedAdvisories {
    /// # Errors
    /// When the disk does not take them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts them into their place.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn keep(self, dated: SystemTime) -> Result<(), StoreError> {
        let place = self.place.clone();
        self.put(dated)
            .map_err(StoreError::io("keep the advisories as", &place))
    }

    fn put(self, dated: SystemTime) -> io::Result<()> {
        let file = self.file.into_inner();
        let file = file.map_err(io::IntoInnerError::into_error)?;
        file.as_file().set_modified(dated)?;
        file.as_file().sync_all()?;
        file.persist(&self.place).map_err(|why| why.error)?;
        sync_dir(self.place.parent().unwrap_or(&self.place))
    }
}
