//! The index's files, line by line: what each line is about, and the one walk over all of them.
//!
//! cacache's own listing stops at the first file it cannot read; this one counts what it cannot and
//! goes on. Blocks. Must not change anything.

use std::path::PathBuf;
use std::time::SystemTime;

use super::catalog::CatalogEntry;
use super::error::StoreError;
use super::index::{self, FoundLine};
use super::index_bucket::{IndexBucket, RawLine};
use super::layout::{Layout, each_file, read};
use super::metadata_index::{self, WheelMark};
use super::pages::{self, PageMeta, PageRecord};
use crate::registry::{FileRef, PageRef, Route};
use crate::simple::Format;
use crate::values::digest::Digest;

/// What a line of the index says.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexLine {
    pub subject: IndexSubject,
    pub digest: Digest,
    pub written: SystemTime,
    key: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum IndexSubject {
    /// This address yielded these bytes.
    File { file: FileRef, entry: CatalogEntry },
    /// Upstream's page, in this format.
    Page {
        page: PageRef,
        format: Format,
        meta: PageMeta,
    },
    /// There was a page in this format, and upstream took it back.
    Withdrawn { page: PageRef, format: Format },
    /// The metadata that was made of some wheel.
    Metadata { wheel: WheelMark },
    /// Nothing that this version of larder wrote.
    Unknown,
}

impl IndexLine {
    pub fn route(&self) -> Option<Route> {
        match &self.subject {
            IndexSubject::File { file, .. } => Some(Route::File(file.clone())),
            IndexSubject::Page { page, .. } | IndexSubject::Withdrawn { page, .. } => {
                Some(Route::Page(page.clone()))
            }
            IndexSubject::Metadata { .. } | IndexSubject::Unknown => None,
        }
    }

    /// As people are told: an address, or what stands in for one.
    pub fn name(&self) -> &str {
        &self.key
    }

    fn of(raw: RawLine) -> Option<Self> {
        let line = FoundLine {
            digest: raw.digest()?,
            written: index::since_1970(raw.time),
            metadata: raw.metadata,
        };
        Some(Self {
            subject: subject(&raw.key, &line).unwrap_or(IndexSubject::Unknown),
            digest: line.digest,
            written: line.written,
            key: raw.key,
        })
    }
}

fn subject(key: &str, line: &FoundLine) -> Option<IndexSubject> {
    if let Some(wheel) = metadata_index::wheel_of(key) {
        return Some(IndexSubject::Metadata { wheel });
    }
    if let Some((format, page)) = pages::page_of(key) {
        let record: PageRecord = line.says()?;
        return Some(if record.withdrawn {
            IndexSubject::Withdrawn { page, format }
        } else {
            let meta = record.meta;
            IndexSubject::Page { page, format, meta }
        });
    }
    let entry = line.says()?;
    match Route::from_path(key).ok()? {
        Route::File(file) if file.digest == line.digest => Some(IndexSubject::File { file, entry }),
        Route::Mirrored(path) => Some(IndexSubject::File {
            file: FileRef::mirrored(&path, line.digest),
            entry,
        }),
        _ => None,
    }
}

/// One file of the index.
#[derive(Debug)]
pub struct IndexFile {
    pub lines: Vec<IndexLine>,
    /// Lines that a later one replaced.
    pub superseded: usize,
    /// Torn or damaged lines.
    pub unreadable: usize,
    pub bytes: u64,
    /// Bytes of lines that count no more.
    pub wasted_bytes: u64,
    pub(super) path: PathBuf,
}

impl IndexFile {
    fn of(path: PathBuf, bytes: &[u8]) -> Self {
        let bucket = IndexBucket::read(bytes);
        let live = bucket.live.len();
        let lines: Vec<_> = bucket.live.into_iter().filter_map(IndexLine::of).collect();
        Self {
            unreadable: bucket.unreadable + live - lines.len(),
            lines,
            superseded: bucket.superseded,
            bytes: bytes.len() as u64,
            wasted_bytes: bytes.len().saturating_sub(bucket.compact.len()) as u64,
            path,
        }
    }

    pub fn is_wasteful(&self) -> bool {
        self.superseded > 0 || self.unreadable > 0
    }
}

/// Shows every file of the index, one at a time.
///
/// # Errors
/// When the folder cannot be read, or whatever the visitor says.
pub fn every_line<E: From<StoreError>>(
    layout: &Layout,
    mut visit: impl FnMut(IndexFile) -> Result<(), E>,
) -> Result<(), E> {
    each_file(layout.index(), |path| match read(&path)? {
        Some(bytes) => visit(IndexFile::of(path, &bytes)),
        None => Ok(()),
    })
}
