//! Everything that is held, listed: files at their addresses, and pages.
//!
//! For the export. Walks the whole index: run it on a blocking thread. Must not know bundles.

use std::collections::HashSet;

use super::Store;
use super::error::StoreError;
use super::index_file::IndexSubject;
use super::metadata_index::{MetadataOrigin, WheelMark};
use crate::registry::{FileRef, PageRef};
use crate::simple::Format;
use crate::values::digest::Digest;

/// What was found.
#[derive(Debug, Default)]
pub struct Inventory {
    pub files: Vec<HeldFile>,
    /// Projects' pages, in the formats they are stored in.
    pub pages: Vec<(PageRef, Format)>,
    /// Those of which there was a page that upstream took back.
    pub withdrawn: HashSet<PageRef>,
}

/// A file whose address was seen to yield it, and whose blob is there.
#[derive(Clone, Debug)]
pub struct HeldFile {
    pub file: FileRef,
    /// In bytes.
    pub size: u64,
    /// Its metadata, if that is known and there.
    pub metadata: Option<HeldMetadata>,
}

#[derive(Clone, Copy, Debug)]
pub struct HeldMetadata {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub origin: MetadataOrigin,
}

impl Store {
    /// Lists what is held now. Blobs are looked for, not hashed. Blocks.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        let mut found = Inventory::default();
        self.every_line::<StoreError>(|index| {
            for line in index.lines {
                match line.subject {
                    IndexSubject::Page { page, format, .. } if page.name.is_some() => {
                        found.pages.push((page, format))
                    }
                    IndexSubject::Withdrawn { page, .. } => {
                        found.withdrawn.insert(page);
                    }
                    IndexSubject::File { file, .. } => {
                        if let Some(size) = self.blob_size(file.digest) {
                            let metadata = self.metadata_of(&file);
                            found.files.push(HeldFile {
                                file,
                                size,
                                metadata,
                            });
                        }
                    }
                    IndexSubject::Page { .. }
                    | IndexSubject::Metadata { .. }
                    | IndexSubject::Unknown => {}
                }
            }
            Ok(())
        })?;
        // One format came again, and the other has not been asked for since.
        for (page, _) in &found.pages {
            found.withdrawn.remove(page);
        }
        Ok(found)
    }

    /// The size of a blob that is there. Blocks.
    pub fn blob_size(&self, digest: Digest) -> Option<u64> {
        self.folder.layout.blob_size(digest)
    }

    fn metadata_of(&self, file: &FileRef) -> Option<HeldMetadata> {
        if !file.filename.is_wheel() {
            return None;
        }
        let fact = self.metadata_index.fact(WheelMark::of(file))?;
        let size = self.blob_size(fact.metadata)?;
        Some(HeldMetadata {
            digest: fact.metadata,
            size,
            origin: fact.origin,
        })
    }
}
