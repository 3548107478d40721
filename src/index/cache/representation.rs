//! The forms in which one page's bytes leave: as they are, and compressed, each with its own strong
//! validator.
//!
//! Prepared once, when the page is; never for a request. Must not know where the bytes came from.

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;

use crate::index::error::PageError;
use crate::values::digest::Digest;
use crate::values::memory_file::MemoryFile;

/// Smaller pages are not worth compressing: they fit into one packet as they are.
const COMPRESSED_FROM_BYTES: usize = 1024;

/// Beyond this level zstd costs more time than a loopback or LAN gives back.
const ZSTD_LEVEL: i32 = 3;

/// Of compressed pages that lie in a file too. To copy a smaller one costs as little; a plain one
/// is seldom asked for and would take several times as much.
const BYTES_IN_FILE: RangeInclusive<usize> = 64 * 1024..=1024 * 1024;

/// A content coding that larder offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// The value of `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// One way to write the page down.
#[derive(Clone, Debug)]
pub struct Representation {
    pub body: Bytes,
    /// None is the page as it is.
    pub coding: Option<Coding>,
    pub etag: HeaderValue,
    /// The same bytes, for connections that the kernel can send files over.
    pub file: Option<Arc<MemoryFile>>,
}

impl Representation {
    /// Bytes this takes in memory.
    fn weight(&self) -> usize {
        let copies = if self.file.is_some() { 2 } else { 1 };
        copies * self.body.len()
    }
}

/// All forms of one page.
#[derive(Debug)]
pub struct Representations {
    plain: Representation,
    compressed: Vec<Representation>,
}

impl Representations {
    /// Compresses: run it on a blocking thread.
    pub fn prepare(body: Bytes) -> Result<Self, PageError> {
        let digest = Digest::of(&body).to_string();
        let represent = |body: Bytes, coding: Option<Coding>| {
            let suffix = coding.map_or_else(String::new, |coding| format!("-{}", coding.name()));
            let etag = HeaderValue::try_from(format!("\"{}{suffix}\"", &digest[..32]));
            let file = match coding {
                Some(_) if BYTES_IN_FILE.contains(&body.len()) => MemoryFile::of(&body),
                _ => None,
            };
            Ok::<_, PageError>(Representation {
                body,
                coding,
                etag: etag.map_err(|_| PageError::Internal)?,
                file: file.map(Arc::new),
            })
        };
        let codings: &[Coding] = match body.len() {
            0..COMPRESSED_FROM_BYTES => &[],
            _ => &[Coding::Gzip, Coding::Zstd],
        };
        let compressed = codings.iter().map(|&coding| {
            let compressed = compress(coding, &body).map_err(|_| PageError::Internal)?;
            represent(compressed, Some(coding))
        });
        Ok(Self {
            compressed: compressed.collect::<Result<_, _>>()?,
            plain: represent(body, None)?,
        })
    }

    /// The first of these codings that there is, else the page as it is.
    pub fn choose(&self, wanted: impl IntoIterator<Item = Coding>) -> &Representation {
        let find = |coding| {
            self.compressed
                .iter()
                .find(|form| form.coding == Some(coding))
        };
        wanted.into_iter().find_map(find).unwrap_or(&self.plain)
    }

    /// Whether they are forms of these bytes.
    pub fn is_of(&self, body: &[u8]) -> bool {
        self.plain.body == body
    }

    /// Bytes this takes in memory.
    pub fn weight(&self) -> usize {
        let compressed = self.compressed.iter().map(Representation::weight);
        self.plain.weight() + compressed.sum::<usize>()
    }
}

fn compress(coding: Coding, body: &[u8]) -> io::Result<Bytes> {
    let room = Vec::with_capacity(body.len() / 4);
    let mut compressed = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(room, Compression::new(6));
            encoder.write_all(body)?;
            encoder.finish()?
        }
        Coding::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(room, ZSTD_LEVEL)?;
            encoder.set_pledged_src_size(Some(body.len() as u64))?;
            encoder.write_all(body)?;
            encoder.finish()?
        }
    };
    compressed.shrink_to_fit();
    Ok(Bytes::from(compressed))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_form_is_the_page_and_has_its_own_tag() -> Result<(), Box<dyn std::error::Error>> {
        let body = Bytes::from("<a href=\"x\">x</a>".repeat(500));
        let forms = Representations::prepare(body.clone())?;
        let gzip = forms.choose([Coding::Gzip]);
        let mut inflated = Vec::new();
        flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut inflated)?;
        let zstd = forms.choose([Coding::Zstd, Coding::Gzip]);
        assert_eq!(
            (&inflated, &zstd::decode_all(&zstd.body[..])?),
            (&body.to_vec(), &body.to_vec())
        );
        let tags = [&forms.choose([]).etag, &gzip.etag, &zstd.etag];
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2]);
        Ok(())
    }

    #[test]
    fn a_small_page_has_one_form() -> Result<(), PageError> {
        let forms = Representations::prepare(Bytes::from_static(b"<a>"))?;
        assert_eq!(forms.choose([Coding::Zstd, Coding::Gzip]).coding, None);
        Ok(())
    }
}
