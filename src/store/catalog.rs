//! Which address was seen to yield which bytes: one line in cacache's index for each, never
//! rewritten unless it changes.
//!
//! GitLab does not check the sha256 that an uploader declares, so that any user can publish a file
//! under another file's digest. A blob is therefore shared between callers of one address, but a
//! second *address* of the same digest must once have yielded the bytes itself before it counts as
//! held. Must not know callers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{StoreError, blocking};
use super::folder::Folder;
use super::index;
use super::layout::Layout;
use super::lookup_cache::LookupCache;
use crate::registry::{FileRef, MirrorPath};
use crate::values::digest::Digest;

/// Addresses remembered in memory; the rest are read from disk when asked for.
const REMEMBERED_MAX: u64 = 16_384;

/// What is known about the file at one address. The validators are upstream's, for asking again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogEntry {
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_modified: Option<String>,
}

#[derive(Clone)]
pub struct Catalog {
    folder: Arc<Folder>,
    remembered: Arc<LookupCache<FileRef, Arc<CatalogEntry>>>,
}

impl Catalog {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            remembered: Arc::new(LookupCache::new(REMEMBERED_MAX)),
        }
    }

    /// What this address was seen to yield under its digest, if ever.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn find(&self, file: &FileRef) -> Result<Option<Arc<CatalogEntry>>, StoreError> {
        if let Some(entry) = self.remembered.get(file) {
            return Ok(Some(entry));
        }
        let this = self.clone();
        let file = file.clone();
        blocking(move || this.look(&file)).await
    }

    /// The same. Blocks.
    pub(super) fn look(&self, file: &FileRef) -> Result<Option<Arc<CatalogEntry>>, StoreError> {
        if let Some(entry) = self.remembered.get(file) {
            return Ok(Some(entry));
        }
        let before = self.remembered.generation();
        let Some(entry) = read(&self.folder.layout, file)? else {
            return Ok(None);
        };
        let entry = Arc::new(entry);
        self.remembered
            .remember(file.clone(), Arc::clone(&entry), before);
        Ok(Some(entry))
    }

    /// The digest of what a mirror's path was last seen to yield.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn digest_at(&self, path: &MirrorPath) -> Result<Option<Digest>, StoreError> {
        let folder = Arc::clone(&self.folder);
        let path = path.clone();
        blocking(move || digest_at(&folder.layout, &path)).await
    }

    /// Whether this address is known to yield its digest. Blocks.
    pub(super) fn is_recorded(&self, file: &FileRef) -> Result<bool, StoreError> {
        let line = index::find(&self.folder.layout, &file.path())?;
        Ok(line.is_some_and(|line| line.digest == file.digest))
    }

    /// Records what an address yielded, after its bytes were verified. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn record(&self, file: &FileRef, entry: CatalogEntry) -> Result<(), StoreError> {
        if let Some(known) = self.remembered.get(file)
            && *known == entry
        {
            return Ok(());
        }
        let _writing = self.folder.maintenance.enter(Some(file.digest));
        let layout = &self.folder.layout;
        index::insert(layout, &file.path(), file.digest, entry.size, None, &entry)?;
        self.remembered
            .change(file.clone(), Some(Arc::new(entry)), true);
        self.folder.changes.note();
        Ok(())
    }

    /// Forgets what an address yielded. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub(super) fn forget(&self, file: &FileRef) -> Result<(), StoreError> {
        let _writing = self.folder.maintenance.enter(None);
        index::delete(&self.folder.layout, &file.path())?;
        self.remembered.change(file.clone(), None, true);
        self.folder.changes.note();
        Ok(())
    }
}

/// What the index says of an address. Blocks.
pub fn read(layout: &Layout, file: &FileRef) -> Result<Option<CatalogEntry>, StoreError> {
    match index::find(layout, &file.path())? {
        Some(line) if line.digest == file.digest => Ok(line.says()),
        _ => Ok(None),
    }
}

pub fn digest_at(layout: &Layout, path: &MirrorPath) -> Result<Option<Digest>, StoreError> {
    let line = index::find(layout, &path.path())?;
    Ok(line.map(|line| line.digest))
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;
    use crate::registry::Route;

    #[test]
    fn a_look_from_before_an_address_was_forgotten_is_not_remembered_after_it()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path(), 1 << 20)?;
        let digest = "0123456789abcdef".repeat(4);
        let path = format!("/api/v4/projects/42/packages/pypi/files/{digest}/demo-1.0.tar.gz");
        let Ok(Route::File(file)) = Route::from_path(&path) else {
            return Err(path.into());
        };
        let entry = CatalogEntry {
            size: 3,
            ..CatalogEntry::default()
        };
        store.catalog.record(&file, entry.clone())?;
        assert_eq!(store.catalog.look(&file)?.as_deref(), Some(&entry));
        let found_in = store.catalog.remembered.generation();
        store.catalog.forget(&file)?;
        store
            .catalog
            .remembered
            .remember(file.clone(), Arc::new(entry.clone()), found_in);
        assert_eq!(store.catalog.look(&file)?, None);
        store.catalog.record(&file, entry.clone())?;
        assert_eq!(store.catalog.look(&file)?.as_deref(), Some(&entry));
        Ok(())
    }
}
