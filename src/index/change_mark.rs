//! When pages last stopped to count: by an upload through this process, or because all were
//! forgotten.
//!
//! Shared by the pages of all configurations that are or were in force, so that an upload that
//! began before a reload makes the pages after it stale. Must not know what changed.

use std::time::Instant;

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub struct ChangeMark(Mutex<Changes>);

/// Changes are counted as well, so that no fetch from before is joined after.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changes {
    /// Something was uploaded to GitLab.
    pub uploaded: Option<Instant>,
    /// All pages were forgotten.
    pub forgotten: Option<Instant>,
    pub epoch: u64,
}

impl ChangeMark {
    pub(super) fn uploaded(&self, now: Instant) {
        let mut changes = self.0.lock();
        changes.uploaded = Some(now);
        changes.epoch += 1;
    }

    pub(super) fn forgotten(&self, now: Instant) {
        let mut changes = self.0.lock();
        changes.forgotten = Some(now);
        changes.epoch += 1;
    }

    /// Keeps further requests from joining fetches that are under way; nothing grows old by it.
    pub(super) fn advance(&self) {
        self.0.lock().epoch += 1;
    }

    pub(super) fn read(&self) -> Changes {
        *self.0.lock()
    }
}
