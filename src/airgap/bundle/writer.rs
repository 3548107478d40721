//! Writes a bundle, entry by entry, in the one order it may have.
//!
//! Must not know where the bytes come from or go.

use std::io::Write;

use super::archive::{END, entry_bytes, header, padding};
use super::description::{Description, Part};
use super::error::BundleError;
use super::item::{Item, items};
use super::manifest::Manifest;
use super::{CONTENTS, DESCRIPTION, FORMAT, MANIFEST, SIGNATURE, SIGNATURE_BYTES_MAX, SUMS, sums};
use crate::registry::policy::ExceptionConfig;
use crate::values::digest::{Digest, Hasher};

/// A bundle as it is to be written: the manifest in its lasting form, and what all parts say of
/// themselves.
pub struct BundlePlan {
    manifest: Manifest,
    lines: Vec<u8>,
    parts: u32,
    base: Option<Digest>,
    set: Option<String>,
    created: String,
    exceptions: Vec<ExceptionConfig>,
}

/// What one part begins with, up to where it is signed.
pub struct Front {
    description: Vec<u8>,
    contents: Vec<u8>,
    sums: Vec<u8>,
}

impl BundlePlan {
    /// # Errors
    /// When the manifest cannot be written.
    pub fn new(
        manifest: Manifest,
        parts: u32,
        base: Option<Digest>,
        set: Option<String>,
        created: String,
    ) -> Result<Self, BundleError> {
        let lines = manifest.to_lines()?;
        Ok(Self {
            manifest,
            lines,
            parts,
            base,
            set,
            created,
            exceptions: Vec::new(),
        })
    }

    /// The same with what policies of its writer let pass.
    #[must_use]
    pub fn with_exceptions(self, exceptions: Vec<ExceptionConfig>) -> Self {
        Self { exceptions, ..self }
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn id(&self) -> Digest {
        Digest::of(&self.lines)
    }

    pub fn base(&self) -> Option<Digest> {
        self.base
    }

    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// What every part has besides blobs, in bytes; what the lists of blobs take is counted as if
    /// all were in each.
    pub fn overhead(manifest: &Manifest) -> Result<u64, BundleError> {
        let mut widest = manifest.clone();
        widest.place(|_| Some(super::description::PARTS_MAX));
        let lines = widest.to_lines()?.len() as u64;
        let mut pages = 0;
        for page in manifest.pages() {
            pages += entry_bytes(page.size);
        }
        if let Some(advisories) = manifest.advisories() {
            pages += entry_bytes(advisories.size);
        }
        let mut names = 0;
        for item in items(manifest, None) {
            names += item.name().len() as u64 + 70;
        }
        let fixed = entry_bytes(4096) * 2 + entry_bytes(SIGNATURE_BYTES_MAX) + END.len() as u64;
        Ok(entry_bytes(lines) + entry_bytes(names) + pages + fixed)
    }

    /// The front of one part, from 1.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn front(&self, number: u32) -> Result<Front, BundleError> {
        let here: Vec<Item> = items(&self.manifest, Some(number)).collect();
        let mut blobs = 0;
        let mut bytes = 0;
        for item in &here {
            if item.is_blob() {
                blobs += 1;
                bytes += item.size();
            }
        }
        let description = Description {
            format: FORMAT,
            id: self.id(),
            created: self.created.clone(),
            larder: env!("CARGO_PKG_VERSION").to_owned(),
            base: self.base,
            set: self.set.clone(),
            part: Part {
                number,
                of: self.parts,
            },
            files: self.manifest.files().len() as u64,
            pages: self.manifest.pages().len() as u64,
            blobs,
            bytes,
            exceptions: self.exceptions.clone(),
        };
        let description = description.to_json()?;
        let contents = sums::contents(&here);
        let sums = sums::front(&description, &self.lines, &contents);
        Ok(Front {
            description,
            contents,
            sums,
        })
    }
}

impl Front {
    /// What is signed.
    pub fn sums(&self) -> &[u8] {
        &self.sums
    }
}

/// One part on its way out.
pub struct BundleWriter<W> {
    out: W,
    /// What is being written: its name, its digest, how much of it is to come.
    current: Option<(Item, Hasher, u64)>,
}

impl<W: Write> BundleWriter<W> {
    /// Writes the front.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn begin(
        out: W,
        plan: &BundlePlan,
        front: &Front,
        signature: Option<&[u8]>,
    ) -> Result<Self, BundleError> {
        let mut this = Self { out, current: None };
        this.entry(DESCRIPTION, &front.description)?;
        this.entry(MANIFEST, &plan.lines)?;
        this.entry(CONTENTS, &front.contents)?;
        this.entry(SUMS, &front.sums)?;
        if let Some(signature) = signature {
            this.entry(SIGNATURE, signature)?;
        }
        Ok(this)
    }

    /// Begins the next item. Its bytes follow by [`Self::write`], and [`Self::end`] judges them.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn item(&mut self, item: Item) -> Result<(), BundleError> {
        self.header(&item.name(), item.size())?;
        let size = item.size();
        self.current = Some((item, Hasher::new(), size));
        Ok(())
    }

    /// # Errors
    /// When there are more bytes than the item has; when `out` fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        let Some((item, hasher, left)) = &mut self.current else {
            return Err(BundleError::invalid("a bundle", "bytes of no item"));
        };
        let Some(rest) = left.checked_sub(bytes.len() as u64) else {
            return Err(BundleError::Digest(item.name()));
        };
        *left = rest;
        hasher.update(bytes);
        self.out.write_all(bytes).map_err(BundleError::Write)
    }

    /// # Errors
    /// [`BundleError::Digest`] when the item's bytes were not those it should have.
    pub fn end(&mut self) -> Result<(), BundleError> {
        let Some((item, hasher, left)) = self.current.take() else {
            return Ok(());
        };
        if left > 0 || hasher.finish() != item.sha256() {
            return Err(BundleError::Digest(item.name()));
        }
        self.pad(item.size())
    }

    /// Ends the part and gives back what it was written to.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> Result<W, BundleError> {
        self.out.write_all(&END).map_err(BundleError::Write)?;
        self.out.flush().map_err(BundleError::Write)?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        self.header(name, bytes.len() as u64)?;
        self.out.write_all(bytes).map_err(BundleError::Write)?;
        self.pad(bytes.len() as u64)
    }

    fn header(&mut self, name: &str, size: u64) -> Result<(), BundleError> {
        let Some(header) = header(name, size) else {
            return Err(BundleError::invalid(name, "does not fit a tar"));
        };
        self.out.write_all(&header).map_err(BundleError::Write)
    }

    fn pad(&mut self, size: u64) -> Result<(), BundleError> {
        let zeros = END.get(..padding(size)).unwrap_or_default();
        self.out.write_all(zeros).map_err(BundleError::Write)
    }
}
