//! The disk as it lies there, looked at without holding it.
//!
//! No lock is taken, no folder made, no use noted; a daemon may be at work beside it, so that what
//! is told may be over a moment later. Pages are checked while they are read, as always; a blob is
//! only looked for, not hashed. Must not change anything.

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;

use super::blob;
use super::catalog::{self, CatalogEntry};
use super::dates::{self, PageDates};
use super::error::StoreError;
use super::layout::Layout;
use super::learned::{self, LearnedFacts};
use super::metadata_index::{self, MetadataOrigin, WheelMark};
use super::pages::{self, PageMeta};
use crate::registry::{FileRef, MirrorPath, PageRef, Route};
use crate::simple::Format;
use crate::values::digest::Digest;

/// A cache folder that is only read.
pub struct Peek {
    layout: Layout,
}

/// A page in one format, as upstream sent it.
#[derive(Debug)]
pub struct StoredPage {
    pub meta: PageMeta,
    pub stored: SystemTime,
    /// `None` if its line outlived it.
    pub body: Option<Bytes>,
}

/// What an address is known to have yielded.
#[derive(Debug)]
pub struct StoredFile {
    pub entry: CatalogEntry,
    /// Whether the bytes are still there.
    pub is_here: bool,
}

/// What is known of a wheel's metadata.
#[derive(Debug)]
pub struct StoredMetadata {
    pub digest: Digest,
    pub origin: MetadataOrigin,
    pub is_here: bool,
}

impl Peek {
    /// The folder, if there is one.
    pub fn at(dir: &Path) -> Option<Self> {
        Layout::existing(dir).map(|layout| Self { layout })
    }

    /// Whether a larder has held the folder once. One that cannot be looked into counts as used:
    /// opening it says why.
    pub fn is_used(dir: &Path) -> bool {
        match Layout::lock_file(dir).symlink_metadata() {
            Ok(_) => true,
            Err(why) => !matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }

    /// Bytes of all bodies. Blocks, for as long as the folder is large.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn taken(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        blob::each(&self.layout, |blob| bytes += blob.bytes)?;
        Ok(bytes)
    }

    /// What was learned of upstreams.
    pub fn learned(&self) -> LearnedFacts {
        learned::read(&self.layout)
    }

    /// The page last stored for this route in this format. Blocks.
    ///
    /// # Errors
    /// When it is there and cannot be read whole.
    pub fn page(&self, route: &Route, format: Format) -> Result<Option<StoredPage>, StoreError> {
        let Some(line) = pages::find(&self.layout, &pages::key(route, format))? else {
            return Ok(None);
        };
        if line.record.withdrawn {
            return Ok(None);
        }
        let body = line.body(&self.layout)?;
        Ok(Some(StoredPage {
            stored: line.written,
            meta: line.record.meta,
            body,
        }))
    }

    /// What is known of the files of one of GitLab's pages. Blocks.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn dates(&self, page: &PageRef) -> Result<PageDates, StoreError> {
        dates::read(&self.layout, page)
    }

    /// What the catalogue says of a file's address. Blocks.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn file(&self, file: &FileRef) -> Result<Option<StoredFile>, StoreError> {
        let entry = catalog::read(&self.layout, file)?;
        Ok(entry.map(|entry| StoredFile {
            entry,
            is_here: self.holds(file.digest),
        }))
    }

    /// The digest of what a mirror's path was last seen to yield. Blocks.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn digest_at(&self, path: &MirrorPath) -> Result<Option<Digest>, StoreError> {
        catalog::digest_at(&self.layout, path)
    }

    /// What is known of a wheel's metadata. Blocks.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn metadata(&self, wheel: &FileRef) -> Result<Option<StoredMetadata>, StoreError> {
        let fact = metadata_index::read(&self.layout, WheelMark::of(wheel))?;
        Ok(fact.map(|fact| StoredMetadata {
            digest: fact.metadata,
            origin: fact.origin,
            is_here: self.holds(fact.metadata),
        }))
    }

    fn holds(&self, digest: Digest) -> bool {
        self.layout.blob(digest).is_file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::values::clock;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_look_makes_no_folder() -> Checked {
        let dir = tempfile::tempdir()?;
        assert!(Peek::at(&dir.path().join("none")).is_none());
        assert!(!dir.path().join("none").exists());
        assert!(Peek::at(dir.path()).is_some_and(|peek| {
            let page = Route::from_path("/api/v4/projects/42/packages/pypi/simple/a/");
            page.is_ok_and(|page| {
                peek.page(&page, Format::Html)
                    .is_ok_and(|found| found.is_none())
            })
        }));
        assert_eq!(dir.path().read_dir()?.count(), 0);
        Ok(())
    }

    #[tokio::test]
    async fn a_look_sees_what_a_daemon_that_holds_the_lock_has_stored() -> Checked {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path(), 1 << 20)?;
        let peek = Peek::at(dir.path()).ok_or("a folder")?;
        let route = Route::from_path("/api/v4/projects/42/packages/pypi/simple/a/")?;
        let meta = PageMeta {
            etag: Some("W/\"x\"".to_owned()),
            last_modified: None,
            url: "https://gitlab.example/".to_owned(),
        };
        store
            .pages
            .store(
                &route,
                Format::Json,
                meta.clone(),
                Bytes::from_static(b"{}"),
                clock::wall(),
            )
            .await?;
        let page = peek.page(&route, Format::Json)?.ok_or("a page")?;
        assert_eq!((page.meta, page.body.as_deref()), (meta, Some(&b"{}"[..])));
        assert!(peek.page(&route, Format::Html)?.is_none());

        let path = format!(
            "/api/v4/projects/42/packages/pypi/files/{}/a-1-py3-none-any.whl",
            Digest::of(b"wheel")
        );
        let Ok(Route::File(wheel)) = Route::from_path(&path) else {
            return Err("a file".into());
        };
        assert!(peek.file(&wheel)?.is_none() && peek.metadata(&wheel)?.is_none());
        store.catalog.record(
            &wheel,
            CatalogEntry {
                size: 5,
                ..CatalogEntry::default()
            },
        )?;
        store.keep_metadata(
            WheelMark::of(&wheel),
            b"Name: a",
            MetadataOrigin::Read,
            clock::now(),
        )?;
        let file = peek.file(&wheel)?.ok_or("a file")?;
        assert_eq!(
            (file.entry.size, file.is_here),
            (5, false),
            "recorded, and its bytes are not there"
        );
        let metadata = peek.metadata(&wheel)?.ok_or("metadata")?;
        assert_eq!(
            (metadata.origin, metadata.is_here),
            (MetadataOrigin::Read, true)
        );
        assert_eq!(metadata.digest, Digest::of(b"Name: a"));
        Ok(())
    }
}
