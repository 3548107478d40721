//! A blob read to be carried away: hashed again while it is read, whenever it was last checked.
//!
//! Must not know where its bytes go.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Store;
use super::error::StoreError;
use super::partial_file::PartialFile;
use crate::values::digest::{Digest, Hasher};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// How reading a blob ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    Whole,
    Absent,
    /// Its bytes were wrong: it is set aside.
    Damaged,
    /// Whoever took the bytes wants no more.
    Unwanted,
}

impl Store {
    /// Reads a blob from end to end; `take` gets its bytes before they are known to be right, and says whether it wants
    /// more. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(
        &self,
        digest: Digest,
        mut take: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<ReadEnd, StoreError> {
        let path = self.layout.blob(digest);
        let file = match File::open(&path) {
            Ok(file) => Arc::new(file),
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(ReadEnd::Absent),
            Err(why) => return Err(StoreError::io("open", &path)(why)),
        };
        let (mut hasher, mut position) = (Hasher::new(), 0);
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = file
                .read_at(&mut chunk, position)
                .map_err(StoreError::io("read", &path))?;
            if read == 0 {
                break;
            }
            chunk.truncate(read);
            hasher.update(&chunk);
            position += read as u64;
            if !take(chunk) {
                return Ok(ReadEnd::Unwanted);
            }
        }
        if hasher.finish() == digest {
            return Ok(ReadEnd::Whole);
        }
        tracing::error!(%digest, "a stored file was damaged: quarantined, it will be fetched again");
        let damaged = PartialFile::new(file);
        damaged.announce(Some(position));
        self.blobs.quarantine(digest, &damaged);
        Ok(ReadEnd::Damaged)
    }
}
