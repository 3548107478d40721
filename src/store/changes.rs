//! Counts what changes in the store, so that whatever was made of what is here can be told to be
//! out of date.
//!
//! Must not know what changed.

use std::sync::atomic::{AtomicU64, Ordering};

/// One count for a whole store: pages, addresses and blobs, coming and going.
#[derive(Debug, Default)]
pub struct Changes(AtomicU64);

impl Changes {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Something changed, and lies on the disk as it is now.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
