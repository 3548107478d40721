//! Writes a bundle, entry by entry, in the one order it may have.
//!
//! Must not know where the bytes come from or go.

use std::io::Write;

use super::archive::{END, entry_bytes, header, padding};
use super::description::{Description, Part};
use super::fault::Fault;
use super::item::{Item, items};
use super::manifest::Manifest;
use super::{CONTENTS, DESCRIPTION, FORMAT, MANIFEST, SIGNATURE, SIGNATURE_BYTES_MAX, SUMS, sums};
use crate::values::digest::{Digest, Hasher};

/// A bundle as it is to be written: the manifest in its lasting form, and what all parts say of themselves.
pub struct Plan {
    manifest: Manifest,
    lines: Vec<u8>,
    parts: u32,
    base: Option<Digest>,
    set: Option<String>,
    created: String,
}

/// What one part begins with, up to where it is signed.
pub struct Front {
    description: Vec<u8>,
    contents: Vec<u8>,
    sums: Vec<u8>,
}

impl Plan {
    /// # Errors
    /// When the manifest cannot be written.
    pub fn new(
        manifest: Manifest,
        parts: u32,
        base: Option<Digest>,
        set: Option<String>,
        created: String,
    ) -> Result<Self, Fault> {
        let lines = manifest.to_lines()?;
        Ok(Self {
            manifest,
            lines,
            parts,
            base,
            set,
            created,
        })
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

    /// What every part has besides blobs, in bytes; what the lists of blobs take is counted as if all were in each.
    pub fn overhead(manifest: &Manifest) -> Result<u64, Fault> {
        let mut widest = manifest.clone();
        widest.place(|_| Some(super::description::PARTS_MAX));
        let lines = widest.to_lines()?.len() as u64;
        let pages: u64 = manifest
            .pages()
            .iter()
            .map(|page| entry_bytes(page.size))
            .sum();
        let names = items(manifest, None)
            .map(|item| item.name().len() as u64 + 70)
            .sum::<u64>();
        let fixed = entry_bytes(4096) * 2 + entry_bytes(SIGNATURE_BYTES_MAX) + END.len() as u64;
        Ok(entry_bytes(lines) + entry_bytes(names) + pages + fixed)
    }

    /// The front of one part, from 1.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn front(&self, number: u32) -> Result<Front, Fault> {
        let here: Vec<Item> = items(&self.manifest, Some(number)).collect();
        let blobs = here.iter().filter(|item| !item.is_page());
        let (count, bytes) = blobs.fold((0, 0), |(count, bytes), item| {
            (count + 1, bytes + item.size())
        });
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
            blobs: count,
            bytes,
        };
        let description = description.to_json()?;
        let names: Vec<String> = here.iter().map(Item::name).collect();
        let contents = sums::write(
            here.iter()
                .map(Item::sha256)
                .zip(names.iter().map(String::as_str)),
        );
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
pub struct Writer<W> {
    out: W,
    /// What is being written: its name, its digest, how much of it is to come.
    current: Option<(Item, Hasher, u64)>,
}

impl<W: Write> Writer<W> {
    /// Writes the front.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn begin(
        out: W,
        plan: &Plan,
        front: &Front,
        signature: Option<&[u8]>,
    ) -> Result<Self, Fault> {
        let mut this = Self { out, current: None };
        this.entry(DESCRIPTION, &front.description)?;
        this.entry(MANIFEST, &plan.lines)?;
        this.entry(CONTENTS, &front.contents)?;
        this.entry(SUMS, &front.sums)?;
        signature.map_or(Ok(()), |signature| this.entry(SIGNATURE, signature))?;
        Ok(this)
    }

    /// Begins the next item. Its bytes follow by [`Self::write`], and [`Self::end`] judges them.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn item(&mut self, item: Item) -> Result<(), Fault> {
        self.header(&item.name(), item.size())?;
        let size = item.size();
        self.current = Some((item, Hasher::new(), size));
        Ok(())
    }

    /// # Errors
    /// When there are more bytes than the item has; when `out` fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some((item, hasher, left)) = &mut self.current else {
            return Err(Fault::invalid("a bundle", "bytes of no item"));
        };
        *left = left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| Fault::Digest(item.name()))?;
        hasher.update(bytes);
        self.out.write_all(bytes).map_err(Fault::Write)
    }

    /// # Errors
    /// [`Fault::Digest`] when the item's bytes were not those it should have.
    pub fn end(&mut self) -> Result<(), Fault> {
        let Some((item, hasher, left)) = self.current.take() else {
            return Ok(());
        };
        if left > 0 || hasher.finish() != item.sha256() {
            return Err(Fault::Digest(item.name()));
        }
        self.pad(item.size())
    }

    /// Ends the part and gives back what it was written to.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> Result<W, Fault> {
        self.out
            .write_all(&END)
            .and_then(|()| self.out.flush())
            .map_err(Fault::Write)?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.header(name, bytes.len() as u64)?;
        self.out.write_all(bytes).map_err(Fault::Write)?;
        self.pad(bytes.len() as u64)
    }

    fn header(&mut self, name: &str, size: u64) -> Result<(), Fault> {
        let header =
            header(name, size).ok_or_else(|| Fault::invalid(name, "does not fit a tar"))?;
        self.out.write_all(&header).map_err(Fault::Write)
    }

    fn pad(&mut self, size: u64) -> Result<(), Fault> {
        let zeros = END.get(..padding(size)).unwrap_or_default();
        self.out.write_all(zeros).map_err(Fault::Write)
    }
}
