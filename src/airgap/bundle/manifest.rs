//! The manifest: every file, page and blob of a bundle, a JSON line each.
//!
//! Owns what the lines say and that they agree with each other: whatever was read as a [`Manifest`]
//! names only addresses of ours, and each of its contents once. Must not know which of them are
//! there.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::description::PARTS_MAX;
use super::error::BundleError;
use super::{LINE_BYTES_MAX, LINES_MAX, MANIFEST, PAGE_BYTES_MAX};
use crate::registry::{FileRef, PageRef, Route};
use crate::values::digest::Digest;

/// A distribution at its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileLine {
    /// `projects/42`, `groups/acme`, or a mirror's name.
    pub scope: String,
    /// larder's own, from the root.
    pub address: String,
    pub project: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub filename: String,
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// Where the index had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_time: Option<String>,
    /// When a page first listed it there; of a file without an upload time, where that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataLine>,
}

/// A wheel's metadata, made where the bundle was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataLine {
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// Made of the verified wheel, rather than read from spans of it.
    pub verified: bool,
}

/// A project's page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageLine {
    pub scope: String,
    pub project: String,
    /// larder's own, from the root.
    pub address: String,
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
}

/// Bytes that the bundle is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobLine {
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// The part that has it, from 1; `None`: the base has it.
    pub part: Option<u32>,
}

/// Records of advisories, as a file of lines; in the first part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvisoriesLine {
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// When they were put where they were exported, by RFC 3339.
    pub dated: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[expect(
    clippy::large_enum_variant,
    reason = "one is made at a time, for its line of text"
)]
enum ManifestLine {
    Advisories(AdvisoriesLine),
    File(FileLine),
    Page(PageLine),
    Blob(BlobLine),
}

/// All lines of a bundle, each kind sorted: files and pages by address, blobs by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    files: Vec<FileLine>,
    pages: Vec<PageLine>,
    blobs: Vec<BlobLine>,
    advisories: Option<AdvisoriesLine>,
}

impl Manifest {
    /// The manifest of these files and pages. All contents are in part 1 until [`Self::place`] says
    /// otherwise.
    ///
    /// # Errors
    /// When a line is no line of a bundle.
    pub fn new(mut files: Vec<FileLine>, mut pages: Vec<PageLine>) -> Result<Self, BundleError> {
        files.sort_by(|one, other| one.address.cmp(&other.address));
        pages.sort_by(|one, other| one.address.cmp(&other.address));
        let mut blobs = Vec::new();
        for (sha256, size) in contents_of(&files)? {
            blobs.push(BlobLine {
                sha256,
                size,
                part: Some(1),
            });
        }
        let made = Self {
            files,
            pages,
            blobs,
            advisories: None,
        };
        made.check()?;
        Ok(made)
    }

    pub fn files(&self) -> &[FileLine] {
        &self.files
    }

    pub fn pages(&self) -> &[PageLine] {
        &self.pages
    }

    pub fn blobs(&self) -> &[BlobLine] {
        &self.blobs
    }

    pub fn advisories(&self) -> Option<&AdvisoriesLine> {
        self.advisories.as_ref()
    }

    /// Has it carry these records too.
    pub fn carry(&mut self, advisories: AdvisoriesLine) {
        self.advisories = Some(advisories);
    }

    /// Says of each blob where it is.
    pub fn place(&mut self, mut part: impl FnMut(&BlobLine) -> Option<u32>) {
        for blob in &mut self.blobs {
            blob.part = part(blob);
        }
    }

    /// The first file that has this content, for people.
    pub fn name_of(&self, blob: Digest) -> Option<&str> {
        for file in &self.files {
            let metadata = file.metadata.map(|metadata| metadata.sha256);
            if file.sha256 == blob || metadata == Some(blob) {
                return Some(&file.filename);
            }
        }
        None
    }

    pub fn to_lines(&self) -> Result<Vec<u8>, BundleError> {
        let advisories = self
            .advisories
            .iter()
            .cloned()
            .map(ManifestLine::Advisories);
        let files = self.files.iter().cloned().map(ManifestLine::File);
        let pages = self.pages.iter().cloned().map(ManifestLine::Page);
        let blobs = self.blobs.iter().copied().map(ManifestLine::Blob);
        let mut text = Vec::new();
        for line in files.chain(pages).chain(blobs).chain(advisories) {
            let written = serde_json::to_writer(&mut text, &line);
            written.map_err(|why| BundleError::invalid(MANIFEST, why))?;
            text.push(b'\n');
        }
        Ok(text)
    }

    /// Reads and checks the lines of a manifest.
    ///
    /// # Errors
    /// The first line that is wrong, by its number.
    pub fn read(text: &[u8]) -> Result<Self, BundleError> {
        let mut read = Self::default();
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let at = |why: &dyn fmt::Display| {
                BundleError::invalid(MANIFEST, format!("line {}: {why}", index + 1))
            };
            if index >= LINES_MAX {
                return Err(at(&format!("more than {LINES_MAX} lines")));
            }
            if line.len() > LINE_BYTES_MAX {
                return Err(at(&format!("longer than {LINE_BYTES_MAX} bytes")));
            }
            match serde_json::from_slice(line).map_err(|why| at(&why))? {
                ManifestLine::Advisories(line) if read.advisories.is_none() => {
                    read.advisories = Some(line);
                }
                ManifestLine::Advisories(_) => return Err(at(&"advisories are listed twice")),
                ManifestLine::File(file) => read.files.push(file),
                ManifestLine::Page(page) => read.pages.push(page),
                ManifestLine::Blob(blob) => read.blobs.push(blob),
            }
        }
        read.check()?;
        Ok(read)
    }

    /// Everything that later steps rely on.
    fn check(&self) -> Result<(), BundleError> {
        for file in &self.files {
            let Some(found) = file.file_ref() else {
                return Err(wrong(&file.address, "is no address of this file"));
            };
            if found.scope.to_string() != file.scope || found.filename.as_str() != file.filename {
                return Err(wrong(&file.address, "belongs to another scope or file"));
            }
        }
        for page in &self.pages {
            let Some(found) = page.page_ref() else {
                return Err(wrong(&page.address, "is no address of this page"));
            };
            if found.scope.to_string() != page.scope {
                return Err(wrong(&page.address, "belongs to another scope"));
            }
            if page.size > PAGE_BYTES_MAX {
                return Err(BundleError::TooLarge {
                    item: page.address.clone(),
                    limit: PAGE_BYTES_MAX,
                });
            }
        }
        sorted(self.files.iter().map(|file| &file.address))?;
        sorted(self.pages.iter().map(|page| &page.address))?;
        sorted(self.blobs.iter().map(|blob| blob.sha256))?;
        let mut listed = BTreeMap::new();
        for blob in &self.blobs {
            listed.insert(blob.sha256, blob.size);
        }
        let wanted = contents_of(&self.files)?;
        for (blob, size) in &wanted {
            if listed.get(blob) != Some(size) {
                return Err(wrong(blob, "has no line of this size"));
            }
        }
        for blob in &self.blobs {
            if !wanted.contains_key(&blob.sha256) {
                return Err(wrong(blob.sha256, "belongs to no file"));
            }
        }
        for blob in &self.blobs {
            if let Some(part) = blob.part
                && !(1..=PARTS_MAX).contains(&part)
            {
                return Err(wrong(blob.sha256, "is in no part"));
            }
        }
        Ok(())
    }
}

impl FileLine {
    /// The address as a value; `None` if it is none of a file with this sha256.
    pub fn file_ref(&self) -> Option<FileRef> {
        let file = match Route::from_path(&self.address).ok()? {
            Route::File(file) => file,
            Route::Mirrored(path) => FileRef::mirrored(&path, self.sha256),
            _ => return None,
        };
        if file.digest != self.sha256 || Route::File(file.clone()).path() != self.address {
            return None;
        }
        Some(file)
    }
}

impl PageLine {
    /// The address as a value; `None` if it is none of a project's page.
    pub fn page_ref(&self) -> Option<PageRef> {
        let Ok(Route::Page(page)) = Route::from_path(&self.address) else {
            return None;
        };
        let name = page.name.as_ref()?;
        if name.as_str() != self.project || Route::Page(page.clone()).path() != self.address {
            return None;
        }
        Some(page)
    }
}

/// The contents of files and their metadata, with their sizes.
fn contents_of(files: &[FileLine]) -> Result<BTreeMap<Digest, u64>, BundleError> {
    let mut contents = BTreeMap::new();
    for file in files {
        let mut parts = vec![(file.sha256, file.size)];
        if let Some(metadata) = file.metadata {
            parts.push((metadata.sha256, metadata.size));
        }
        for (digest, size) in parts {
            if *contents.entry(digest).or_insert(size) != size {
                let why = "has another size than a file with the same sha256";
                return Err(wrong(&file.address, why));
            }
        }
    }
    Ok(contents)
}

fn sorted<T: PartialOrd + fmt::Display>(keys: impl Iterator<Item = T>) -> Result<(), BundleError> {
    let mut before = None;
    for key in keys {
        match &before {
            Some(before) if *before >= key => {
                return Err(wrong(key, "is listed twice, or out of order"));
            }
            _ => before = Some(key),
        }
    }
    Ok(())
}

fn wrong(what: impl fmt::Display, why: &str) -> BundleError {
    BundleError::invalid(MANIFEST, format!("{what} {why}"))
}
