//! Which address was seen to yield which bytes: one line in cacache's index for each, never rewritten unless it changes.
//!
//! GitLab does not check the sha256 that an uploader declares, so anybody can publish a file under somebody else's
//! digest. A blob is therefore shared between callers of one address, but a second *address* of the same digest must
//! once have yielded the bytes itself before it counts as held. Must not know callers.

use std::sync::Arc;

use moka::sync::Cache;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use super::blobs::integrity;
use super::changes::Changes;
use super::error::StoreError;
use super::layout::Layout;
use crate::registry::{FileRef, MirrorPath, Route};
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
    layout: Arc<Layout>,
    remembered: Cache<FileRef, Arc<CatalogEntry>>,
    /// Counts what was recorded or forgotten. Held while what is remembered changes, so that a look on the disk from before a
    /// change is not remembered after it.
    generation: Arc<Mutex<u64>>,
    changes: Changes,
}

impl Catalog {
    pub(super) fn new(layout: Arc<Layout>, changes: Changes) -> Self {
        Self {
            layout,
            remembered: Cache::new(REMEMBERED_MAX),
            generation: Arc::default(),
            changes,
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
        let (this, file) = (self.clone(), file.clone());
        let look = tokio::task::spawn_blocking(move || this.look(&file));
        look.await.map_err(|_| StoreError::Interrupted)?
    }

    /// The same. Blocks.
    pub(super) fn look(&self, file: &FileRef) -> Result<Option<Arc<CatalogEntry>>, StoreError> {
        if let Some(entry) = self.remembered.get(file) {
            return Ok(Some(entry));
        }
        let before = *self.generation();
        let found = cacache::index::find(self.layout.root(), &key(file))?;
        let entry = found
            .filter(|meta| meta.integrity == integrity(file.digest))
            .and_then(|meta| serde_json::from_value::<CatalogEntry>(meta.metadata).ok())
            .map(Arc::new);
        if let Some(entry) = &entry {
            self.keep(file, entry, before);
        }
        Ok(entry)
    }

    /// Remembers what was found on the disk in that generation.
    fn keep(&self, file: &FileRef, entry: &Arc<CatalogEntry>, found_in: u64) {
        let generation = self.generation();
        if *generation == found_in {
            self.remembered.insert(file.clone(), Arc::clone(entry));
        }
    }

    fn generation(&self) -> MutexGuard<'_, u64> {
        self.generation.lock()
    }

    /// The digest of what a mirror's path was last seen to yield.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn digest_at(&self, path: &MirrorPath) -> Result<Option<Digest>, StoreError> {
        let (layout, path) = (Arc::clone(&self.layout), path.clone());
        let find = tokio::task::spawn_blocking(move || digest_at(&layout, &path));
        find.await.map_err(|_| StoreError::Interrupted)?
    }

    /// Whether this address is known to yield its digest. Blocks.
    pub(super) fn is_recorded(&self, file: &FileRef) -> Result<bool, StoreError> {
        let found = cacache::index::find(self.layout.root(), &key(file))?;
        Ok(found.is_some_and(|found| found.integrity == integrity(file.digest)))
    }

    /// Records what an address yielded, after its bytes were verified. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn record(&self, file: &FileRef, entry: CatalogEntry) -> Result<(), StoreError> {
        if self
            .remembered
            .get(file)
            .is_some_and(|known| *known == entry)
        {
            return Ok(());
        }
        let _inside = self.layout.maintenance().enter(Some(file.digest));
        let options = cacache::WriteOpts::new()
            .integrity(integrity(file.digest))
            .size(usize::try_from(entry.size).unwrap_or(usize::MAX))
            .metadata(serde_json::json!(entry));
        cacache::index::insert(self.layout.root(), &key(file), options)?;
        let mut generation = self.generation();
        *generation += 1;
        self.remembered.insert(file.clone(), Arc::new(entry));
        drop(generation);
        self.changes.note();
        Ok(())
    }

    /// Forgets what an address yielded. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub(super) fn forget(&self, file: &FileRef) -> Result<(), StoreError> {
        let _inside = self.layout.maintenance().enter(None);
        cacache::index::delete(self.layout.root(), &key(file))?;
        let mut generation = self.generation();
        *generation += 1;
        self.remembered.invalidate(file);
        drop(generation);
        self.changes.note();
        Ok(())
    }
}

pub(super) fn digest_at(layout: &Layout, path: &MirrorPath) -> Result<Option<Digest>, StoreError> {
    let found = cacache::index::find(layout.root(), &Route::Mirrored(path.clone()).path())?;
    Ok(found.and_then(|meta| Digest::parse(&meta.integrity.to_hex().1)))
}

pub(super) fn key(file: &FileRef) -> String {
    Route::File(file.clone()).path()
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

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
        let found_in = *store.catalog.generation();
        store.catalog.forget(&file)?;
        store
            .catalog
            .keep(&file, &Arc::new(entry.clone()), found_in);
        assert_eq!(store.catalog.look(&file)?, None);
        store.catalog.record(&file, entry.clone())?;
        assert_eq!(store.catalog.look(&file)?.as_deref(), Some(&entry));
        Ok(())
    }
}
