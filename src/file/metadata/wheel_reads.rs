//! Verified wheels that are read for their metadata, each once.
//!
//! Of a wheel that many clients wait for, the metadata is kept, and what it requires is told to
//! each of them: what was read lately is remembered. Must not know what is read, nor what for.

use std::io;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::registry::FileRef;
use crate::values::cache::{self, Cache};
use crate::wheel::UnreadableWheel;

/// Bytes of all metadata that is remembered.
const MEMORY_BYTES_MAX: u64 = 1 << 20;

/// Of one wheel, beside its metadata.
const ENTRY_BYTES: usize = 512;

/// What a wheel yields.
pub type ReadMetadata = Result<Bytes, UnreadableWheel>;

pub struct WheelReads {
    /// One wheel at a time: an archive's directory can be megabytes.
    reading: Mutex<()>,
    recent: Cache<FileRef, ReadMetadata>,
}

impl WheelReads {
    pub fn new() -> Self {
        let weigh = |_: &FileRef, read: &ReadMetadata| {
            let bytes = read.as_ref().map_or(0, Bytes::len);
            u32::try_from(bytes + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self {
            reading: Mutex::default(),
            recent: cache::weighed(MEMORY_BYTES_MAX, weigh),
        }
    }

    /// What was read of this wheel, if it was lately; or else it is read now. Blocks.
    pub fn once(
        &self,
        file: &FileRef,
        read: impl FnOnce() -> io::Result<Result<Vec<u8>, UnreadableWheel>>,
    ) -> io::Result<ReadMetadata> {
        let _one_at_a_time = self.reading.lock();
        if let Some(known) = self.recent.get(file) {
            return Ok(known);
        }
        let read = read()?.map(Bytes::from);
        self.recent.insert(file.clone(), read.clone());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Route;

    fn file(name: &str) -> FileRef {
        let digest = "a".repeat(64);
        let path = format!("/api/v4/projects/1/packages/pypi/files/{digest}/{name}");
        let uri = path.parse().expect("a path");
        match Route::parse(&http::Method::GET, &uri) {
            Ok(Route::File(file)) => file,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn a_wheel_is_read_once_whatever_it_yields() {
        let reads = WheelReads::new();
        let again = || -> io::Result<_> { panic!("read twice") };
        for (name, yields) in [
            ("good-1.0-py3-none-any.whl", Ok(b"Name: good".to_vec())),
            ("bad-1.0-py3-none-any.whl", Err(UnreadableWheel::NoEnd)),
        ] {
            let file = file(name);
            // What cannot be read now may be the next time.
            let broken = || Err(io::Error::other("the disk"));
            assert!(reads.once(&file, broken).is_err(), "{name}");
            let read = reads.once(&file, || Ok(yields.clone())).expect("read");
            assert_eq!(read, yields.map(Bytes::from), "{name}");
            assert_eq!(reads.once(&file, again).expect("known"), read, "{name}");
        }
    }
}
