//! Bytes in a file that has no name and lies in memory (`memfd_create(2)`): the kernel sends them
//! from there without copying them first.
//!
//! Owns how many there are, because each takes a file descriptor, and the seals: what is sent stays
//! what was put in. Must not know what the bytes are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use tokio::sync::{Semaphore, SemaphorePermit};

/// At one time: connections and stored files need descriptors too.
const FILES_MAX: usize = 256;

static PLACES: Semaphore = Semaphore::const_new(FILES_MAX);

#[derive(Debug)]
pub struct MemoryFile {
    file: Arc<File>,
    _place: SemaphorePermit<'static>,
}

impl MemoryFile {
    /// None while there are enough of them, or where the system gives none.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::at_place_of(&PLACES, bytes)
    }

    fn at_place_of(places: &'static Semaphore, bytes: &[u8]) -> Option<Self> {
        let place = places.try_acquire().ok()?;
        match sealed(bytes) {
            Ok(file) => Some(Self {
                file: Arc::new(file),
                _place: place,
            }),
            Err(why) => {
                tracing::debug!(error = %why, "the system gives no file in memory");
                None
            }
        }
    }

    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
}

fn sealed(bytes: &[u8]) -> io::Result<File> {
    let usual = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = match memfd_create("larder", usual | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the last flag.
        Err(Errno::INVAL) => memfd_create("larder", usual),
        made => made,
    };
    let file = File::from(made?);
    file.write_all_at(bytes, 0)?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_stays_as_it_is() -> io::Result<()> {
        let file = sealed(b"page")?;
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(5).is_err());
        let mut read = [0; 8];
        assert_eq!(file.read_at(&mut read, 0)?, 4);
        assert_eq!(&read[..4], b"page");
        Ok(())
    }

    #[test]
    fn there_are_no_more_than_places() {
        static TWO: Semaphore = Semaphore::const_new(2);
        let first = MemoryFile::at_place_of(&TWO, b"1");
        let second = MemoryFile::at_place_of(&TWO, b"2");
        assert!(first.is_some() && second.is_some());
        assert!(MemoryFile::at_place_of(&TWO, b"3").is_none());
        drop(first);
        assert!(MemoryFile::at_place_of(&TWO, b"3").is_some());
    }
}
