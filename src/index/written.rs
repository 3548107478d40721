//! When something last changed upstream through us.
//!
//! Shared by the pages of all configurations that are or were in force, so that an upload that began before a reload makes
//! the pages after it stale. Must not know what changed.

use std::time::Instant;

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub struct WrittenMark(Mutex<Written>);

/// Counted as well, so that no load from before is joined after.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub at: Option<Instant>,
    pub count: u64,
}

impl WrittenMark {
    pub(super) fn changed(&self, now: Instant) {
        let mut written = self.0.lock();
        *written = Written {
            at: Some(now),
            count: written.count + 1,
        };
    }

    /// Keeps further askers from joining loads that are under way; nothing grows old by it.
    pub(super) fn part(&self) {
        self.0.lock().count += 1;
    }

    pub(super) fn read(&self) -> Written {
        *self.0.lock()
    }
}
