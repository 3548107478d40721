//! Addresses that lately yielded wrong bytes.
//!
//! One wrong body may be one bad node: the next request asks again, on a fresh connection, and
//! nothing is shown before it is verified. Two within [`BLOCKED_FOR`] and the address is blocked
//! for as long. Must not ask upstream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::download::counts::DownloadCounts;
use crate::registry::FileRef;

pub(super) const BLOCKED_FOR: Duration = Duration::from_secs(60);

/// Wrong bodies after which an address is blocked.
const BLOCKED_FROM: u32 = 2;

const ADDRESSES_MAX: u64 = 4096;

#[derive(Clone, Copy)]
struct WrongBodies {
    count: u32,
    last: Instant,
}

impl WrongBodies {
    fn counts(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < BLOCKED_FOR
    }

    fn blocks(self, now: Instant) -> bool {
        self.counts(now) && self.count >= BLOCKED_FROM
    }
}

pub struct BadDigests {
    known: Cache<FileRef, WrongBodies>,
    counts: Arc<DownloadCounts>,
}

impl BadDigests {
    pub(super) fn new(counts: Arc<DownloadCounts>) -> Self {
        let known = Cache::builder()
            .max_capacity(ADDRESSES_MAX)
            .time_to_live(BLOCKED_FOR)
            .build();
        Self { known, counts }
    }

    /// Notes that this address yielded a wrong body.
    pub(super) fn record(&self, file: &FileRef, now: Instant) {
        let count = match self.known.get(file) {
            Some(before) if before.counts(now) => before.count + 1,
            Some(_) | None => 1,
        };
        self.counts.wrong_body();
        self.known
            .insert(file.clone(), WrongBodies { count, last: now });
    }

    /// This address yielded the right bytes.
    pub(super) fn clear(&self, file: &FileRef) {
        self.known.invalidate(file);
    }

    pub(super) fn is_suspect(&self, file: &FileRef, now: Instant) -> bool {
        self.known.get(file).is_some_and(|wrong| wrong.counts(now))
    }

    pub(super) fn is_blocked(&self, file: &FileRef, now: Instant) -> bool {
        self.known.get(file).is_some_and(|wrong| wrong.blocks(now))
    }

    /// How many addresses are blocked.
    pub(super) fn blocked(&self, now: Instant) -> u64 {
        let known = self.known.iter();
        known.filter(|(_, wrong)| wrong.blocks(now)).count() as u64
    }
}
