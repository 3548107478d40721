//! Where records were read, to read one again.
//!
//! A file stays open, so that one which is replaced meanwhile goes on giving what was read of it.
//! Must not know what a record says.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;

use crate::registry::RECORD_BYTES_MAX;

/// More than a record may have, so that one which is too large is told from one that is not.
pub(super) const READ_MAX: u64 = RECORD_BYTES_MAX as u64 + 1;

/// The places of all records, by their number.
#[derive(Debug)]
pub(super) enum RecordArchive {
    Folder(Vec<PathBuf>),
    File { file: File, places: Vec<Place> },
}

/// Of one record in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Plain {
        start: u64,
        length: u64,
    },
    Deflated {
        start: u64,
        length: u64,
    },
    /// It could not be read.
    None,
}

impl RecordArchive {
    pub(super) fn read(&self, place: u32) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let number = place as usize;
        match self {
            Self::Folder(paths) => {
                let path = paths.get(number).ok_or_else(gone)?;
                read_into(path, &mut bytes)?;
            }
            Self::File { file, places } => match places.get(number).ok_or_else(gone)? {
                Place::Plain { start, length } => {
                    bytes = read_at(file, *start, *length)?;
                }
                Place::Deflated { start, length } => {
                    let packed = read_at(file, *start, *length)?;
                    let unpacked = DeflateDecoder::new(packed.as_slice());
                    unpacked.take(READ_MAX).read_to_end(&mut bytes)?;
                }
                Place::None => return Err(gone()),
            },
        }
        Ok(bytes)
    }
}

fn read_at(file: &File, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length.min(READ_MAX)).unwrap_or_default();
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

pub(super) fn read_into(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    File::open(path)?.take(READ_MAX).read_to_end(bytes)?;
    Ok(())
}
