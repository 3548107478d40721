//! A blob read to be carried away: hashed again while it is read, whenever it was last checked.
//!
//! Must not know where its bytes go.

use std::sync::Arc;

use super::Store;
use super::error::StoreError;
use super::hashed_read::HashedRead;
use super::partial_file::PartialFile;
use crate::values::digest::Digest;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// How reading a blob ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    Whole,
    Absent,
    /// Its bytes were wrong: it is set aside.
    Damaged,
    /// `take` wants no more.
    Unwanted,
}

impl Store {
    /// Reads a blob from end to end; `take` gets its bytes before they are known to be right, and
    /// says whether it wants more. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(
        &self,
        digest: Digest,
        mut take: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<ReadEnd, StoreError> {
        let Some(file) = self.folder.layout.open_blob(digest)? else {
            return Ok(ReadEnd::Absent);
        };
        let mut reader = HashedRead::new(&file, CHUNK_BYTES);
        loop {
            match reader.next() {
                Ok(Some(bytes)) if take(bytes.to_vec()) => {}
                Ok(Some(_)) => return Ok(ReadEnd::Unwanted),
                Ok(None) => break,
                Err(why) => {
                    let path = self.folder.layout.blob(digest);
                    return Err(StoreError::io("read", &path)(why));
                }
            }
        }
        let position = reader.position();
        if reader.digest() == digest {
            return Ok(ReadEnd::Whole);
        }
        tracing::error!(%digest, "a stored file was damaged: quarantined, it will be fetched again");
        let damaged = PartialFile::new(Arc::new(file));
        damaged.announce(Some(position));
        self.blobs.quarantine(digest, &damaged);
        Ok(ReadEnd::Damaged)
    }
}
