//! Whether what lies at a path is what it was.
//!
//! Must not know what is in the files.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::folder::each_entry;

/// What is compared: of a folder, of all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    entries: u64,
    bytes: u64,
    /// Of the inodes, with the time of each: a file that is replaced has another one.
    mark: u64,
    dated: SystemTime,
}

impl Stamp {
    /// # Errors
    /// When the path, or a folder below it, cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let top = fs::metadata(path)?;
        let mut stamp = Self {
            entries: 0,
            bytes: 0,
            mark: 0,
            dated: SystemTime::UNIX_EPOCH,
        };
        stamp.add(&top);
        if top.is_dir() {
            each_entry(path, &mut |entry| {
                stamp.add(&entry.metadata()?);
                Ok(())
            })?;
        }
        Ok(stamp)
    }

    fn add(&mut self, metadata: &Metadata) {
        self.entries += 1;
        if metadata.is_file() {
            self.bytes += metadata.len();
        }
        let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
        let nanoseconds = u64::try_from(metadata.mtime_nsec()).unwrap_or_default();
        // Sums, because a folder is read in no order.
        let mark = metadata.ino() ^ seconds.rotate_left(32) ^ nanoseconds;
        self.mark = self.mark.wrapping_add(mark.wrapping_mul(SPREAD));
        let dated = SystemTime::UNIX_EPOCH + Duration::new(seconds, 0);
        self.dated = self.dated.max(dated);
    }

    /// The newest time in it: when it was last put there.
    pub fn dated(&self) -> SystemTime {
        self.dated
    }
}

/// An odd number with well-mixed bits (of the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
