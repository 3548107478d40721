//! A file read from end to end, and hashed on the way.
//!
//! Must not know what the bytes are for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::values::digest::{Digest, Hasher};

pub struct HashedRead<'a> {
    file: &'a File,
    chunk: Vec<u8>,
    hasher: Hasher,
    position: u64,
}

impl<'a> HashedRead<'a> {
    /// Reads at most so many bytes at a time.
    pub fn new(file: &'a File, chunk_bytes: usize) -> Self {
        Self {
            file,
            chunk: vec![0; chunk_bytes],
            hasher: Hasher::new(),
            position: 0,
        }
    }

    /// The next bytes; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let read = loop {
            match self.file.read_at(&mut self.chunk, self.position) {
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let bytes = self.chunk.get(..read).unwrap_or_default();
        self.hasher.update(bytes);
        self.position += read as u64;
        if bytes.is_empty() {
            Ok(None)
        } else {
            Ok(Some(bytes))
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The digest of what was read.
    pub fn digest(self) -> Digest {
        self.hasher.finish()
    }
}

/// The digest of a whole file.
pub fn hash_file(file: &File, chunk_bytes: usize) -> io::Result<Digest> {
    let mut reader = HashedRead::new(file, chunk_bytes);
    while reader.next()?.is_some() {}
    Ok(reader.digest())
}
