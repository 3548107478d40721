//! Reads a bundle, and believes nothing of it: every byte is either compared with the only one it
//! may be, or part of something whose sha256 is known.
//!
//! Must not know what becomes of the items.

use std::io::{self, Read};

use super::archive::{BLOCK_BYTES, END, header, padding, size_of};
use super::description::Description;
use super::error::BundleError;
use super::item::{Item, items};
use super::manifest::Manifest;
use super::{
    CONTENTS, CONTENTS_BYTES_MAX, DESCRIPTION, DESCRIPTION_BYTES_MAX, MANIFEST, MANIFEST_BYTES_MAX,
    SIGNATURE, SIGNATURE_BYTES_MAX, SUMS, sums,
};
use crate::values::digest::{Digest, Hasher};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// The front of a bundle, agreed with its own sums.
#[derive(Debug)]
pub struct VerifiedFront {
    pub description: Description,
    pub manifest: Manifest,
    /// What is signed.
    pub sums: Vec<u8>,
    pub signature: Option<Vec<u8>>,
}

/// A bundle behind its front.
pub struct BundleReader<R> {
    source: R,
    /// A header that was read already.
    ahead: Option<[u8; BLOCK_BYTES]>,
    chunk: Vec<u8>,
}

impl<R: Read> BundleReader<R> {
    /// Reads the front.
    ///
    /// # Errors
    /// [`BundleError`], naming what is wrong.
    pub fn open(source: R) -> Result<(VerifiedFront, Self), BundleError> {
        let mut this = Self {
            source,
            ahead: None,
            chunk: vec![0; CHUNK_BYTES],
        };
        let description = this.front_entry(DESCRIPTION, DESCRIPTION_BYTES_MAX)?;
        let lines = this.front_entry(MANIFEST, MANIFEST_BYTES_MAX)?;
        let contents = this.front_entry(CONTENTS, CONTENTS_BYTES_MAX)?;
        let sums = sums::front(&description, &lines, &contents);
        this.expect(SUMS, sums.len() as u64)?;
        let found = this.exactly(SUMS, sums.len() as u64)?;
        if let Some(item) = sums::first_difference(&sums, &found) {
            let why = format!("{item} does not have the sha256 that is given here");
            return Err(BundleError::invalid(SUMS, why));
        }
        let description = Description::read(&description)?;
        if description.id != Digest::of(&lines) {
            let why = "the id is not the sha256 of the manifest";
            return Err(BundleError::invalid(DESCRIPTION, why));
        }
        let manifest = Manifest::read(&lines)?;
        let here: Vec<Item> = items(&manifest, Some(description.part.number)).collect();
        if let Some(item) = sums::first_difference(&sums::contents(&here), &contents) {
            let why = format!("{item} is not as the manifest has it");
            return Err(BundleError::invalid(CONTENTS, why));
        }
        let signature = this.signature(here.first())?;
        let front = VerifiedFront {
            description,
            manifest,
            sums,
            signature,
        };
        Ok((front, this))
    }

    /// Reads one item, which must be the next, giving its bytes to `keep` before their sha256 is
    /// known to be right.
    ///
    /// # Errors
    /// [`BundleError`], naming the item; [`BundleError::Keep`] when `keep` failed.
    pub fn item(
        &mut self,
        item: &Item,
        mut keep: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), BundleError> {
        let name = item.name();
        self.expect(&name, item.size())?;
        let mut left = item.size();
        let mut hasher = Hasher::new();
        while left > 0 {
            let wanted = left.min(CHUNK_BYTES as u64) as usize;
            let chunk = self.chunk.get_mut(..wanted).unwrap_or_default();
            fill(&mut self.source, chunk, &name)?;
            hasher.update(chunk);
            if let Err(why) = keep(chunk) {
                return Err(BundleError::Keep { item: name, why });
            }
            left -= wanted as u64;
        }
        if hasher.finish() != item.sha256() {
            return Err(BundleError::Digest(name));
        }
        self.padding(&name, item.size())
    }

    /// Reads the end.
    ///
    /// # Errors
    /// [`BundleError::End`] when it is not there, or something follows it.
    pub fn finish(mut self) -> Result<(), BundleError> {
        let mut end = Vec::new();
        end.extend(self.ahead.into_iter().flatten());
        let rest = (END.len() - end.len()) as u64;
        let read = (&mut self.source).take(rest).read_to_end(&mut end);
        read.map_err(BundleError::Read)?;
        if end.len() < END.len() {
            return Err(BundleError::End("it is missing"));
        }
        if end != END {
            return Err(BundleError::End("it is not zeros"));
        }
        let mut more = [0; 1];
        match self.source.read(&mut more).map_err(BundleError::Read)? {
            0 => Ok(()),
            _ => Err(BundleError::End("something follows it")),
        }
    }

    /// The signature, if the next entry is one rather than the first item or the end.
    fn signature(&mut self, first: Option<&Item>) -> Result<Option<Vec<u8>>, BundleError> {
        let (next, unsigned) = match first {
            Some(item) => (item.name(), header(&item.name(), item.size())),
            None => ("the end".to_owned(), Some([0; BLOCK_BYTES])),
        };
        let block = self.block(&next)?;
        if unsigned == Some(block) {
            self.ahead = Some(block);
            return Ok(None);
        }
        let Some(size) = size_of(&block) else {
            return Err(BundleError::Header(next));
        };
        if header(SIGNATURE, size) != Some(block) {
            return Err(BundleError::Header(format!("{SIGNATURE} or {next}")));
        }
        let signature = self.sized(SIGNATURE, size, SIGNATURE_BYTES_MAX)?;
        Ok(Some(signature))
    }

    /// An entry whose size its own header tells.
    fn front_entry(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, BundleError> {
        let block = self.block(name)?;
        match size_of(&block) {
            Some(size) if header(name, size) == Some(block) => self.sized(name, size, limit),
            _ => Err(BundleError::Header(name.to_owned())),
        }
    }

    /// Reads the header of an entry of this size.
    fn expect(&mut self, name: &str, size: u64) -> Result<(), BundleError> {
        let block = match self.ahead.take() {
            Some(block) => block,
            None => self.block(name)?,
        };
        if header(name, size) != Some(block) {
            return Err(BundleError::Header(name.to_owned()));
        }
        Ok(())
    }

    fn sized(&mut self, name: &str, size: u64, limit: u64) -> Result<Vec<u8>, BundleError> {
        if size > limit {
            return Err(BundleError::TooLarge {
                item: name.to_owned(),
                limit,
            });
        }
        self.exactly(name, size)
    }

    fn exactly(&mut self, name: &str, size: u64) -> Result<Vec<u8>, BundleError> {
        let mut bytes = Vec::new();
        let read = (&mut self.source).take(size).read_to_end(&mut bytes);
        if read.map_err(BundleError::Read)? as u64 != size {
            return Err(BundleError::Cut(name.to_owned()));
        }
        self.padding(name, size)?;
        Ok(bytes)
    }

    fn block(&mut self, name: &str) -> Result<[u8; BLOCK_BYTES], BundleError> {
        let mut block = [0; BLOCK_BYTES];
        fill(&mut self.source, &mut block, name)?;
        Ok(block)
    }

    fn padding(&mut self, name: &str, size: u64) -> Result<(), BundleError> {
        let mut block = [0; BLOCK_BYTES];
        let zeros = block.get_mut(..padding(size)).unwrap_or_default();
        fill(&mut self.source, zeros, name)?;
        if zeros.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(BundleError::Padding(name.to_owned()))
        }
    }
}

fn fill(source: &mut impl Read, buffer: &mut [u8], name: &str) -> Result<(), BundleError> {
    source.read_exact(buffer).map_err(|why| match why.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::Cut(name.to_owned()),
        _ => BundleError::Read(why),
    })
}
