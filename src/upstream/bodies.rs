//! How many bodies of files are on their way from all peers to the disk.
//!
//! What each may have in memory depends on it. Must not know what they are.

use std::sync::atomic::{AtomicUsize, Ordering};

/// From so many on, all together have no more in memory than so many would.
pub const BODIES_AT_FULL_PACE: usize = 4;

/// Whatever the configuration they were begun under.
static BODIES: AtomicUsize = AtomicUsize::new(0);

/// A body that counts as long as this is held.
pub struct CountedBody(());

impl CountedBody {
    /// Counts one more.
    pub fn begin() -> Self {
        BODIES.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// How many there are now.
    pub fn count() -> usize {
        BODIES.load(Ordering::Relaxed)
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        BODIES.fetch_sub(1, Ordering::Relaxed);
    }
}
