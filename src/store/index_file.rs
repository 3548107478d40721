//! The index's files, line by line: what each line is about, and the one walk over all of them.
//!
//! cacache's own listing stops at the first file it cannot read; this one counts what it cannot and goes on. Blocks. Must
//! not change anything.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::catalog::CatalogEntry;
use super::error::StoreError;
use super::index_bucket::{IndexBucket, RawLine};
use super::layout::Layout;
use super::pages::{self, PageMeta};
use super::sidecars::{self, WheelMark};
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
        let digest = raw.digest()?;
        let subject = subject(&raw, digest).unwrap_or(IndexSubject::Unknown);
        let written = SystemTime::UNIX_EPOCH + Duration::from_millis(raw.time);
        Some(Self {
            subject,
            digest,
            written,
            key: raw.key,
        })
    }
}

fn subject(raw: &RawLine, digest: Digest) -> Option<IndexSubject> {
    let metadata = || raw.metadata.clone();
    if let Some(wheel) = sidecars::wheel_of(&raw.key) {
        return Some(IndexSubject::Metadata { wheel });
    }
    if let Some((format, page)) = pages::page_of(&raw.key) {
        if pages::is_withdrawn_by(&raw.metadata) {
            return Some(IndexSubject::Withdrawn { page, format });
        }
        return Some(IndexSubject::Page {
            page,
            format,
            meta: serde_json::from_value(metadata()).ok()?,
        });
    }
    let entry = serde_json::from_value(metadata()).ok()?;
    match Route::from_path(&raw.key).ok()? {
        Route::File(file) => (file.digest == digest).then_some(IndexSubject::File { file, entry }),
        Route::Mirrored(path) => Some(IndexSubject::File {
            file: FileRef::mirrored(&path, digest),
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
    pub fn is_wasteful(&self) -> bool {
        self.superseded > 0 || self.unreadable > 0
    }
}

/// Shows every file of the index, one at a time.
///
/// # Errors
/// When the folder cannot be read, or whatever the visitor says.
pub(super) fn every_line<E: From<StoreError>>(
    layout: &Layout,
    mut visit: impl FnMut(IndexFile) -> Result<(), E>,
) -> Result<(), E> {
    let mut folders = vec![layout.index()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else if let Some(bytes) = read(&path)? {
                let bucket = IndexBucket::read(&bytes);
                let (superseded, live) = (bucket.superseded, bucket.live.len());
                let lines: Vec<_> = bucket.live.into_iter().filter_map(IndexLine::of).collect();
                let senseless = live - lines.len();
                let wasted_bytes = bytes.len().saturating_sub(bucket.compact.len()) as u64;
                let (bytes, unreadable) = (bytes.len() as u64, bucket.unreadable + senseless);
                visit(IndexFile {
                    lines,
                    superseded,
                    unreadable,
                    bytes,
                    wasted_bytes,
                    path,
                })?;
            }
        }
    }
    Ok(())
}

/// What is in a folder; nothing, if it is not there.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(StoreError::io("read", folder)(why)),
    }
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(StoreError::io("read", path)(why)),
    }
}
