//! Addresses that lately yielded wrong bytes.
//!
//! One wrong body may be one bad node: the next request asks again, on a fresh connection, and nothing is shown before
//! it is verified. Two within [`SHUNNED_FOR`] and the address is left alone for as long. Must not ask anybody.

use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::registry::FileRef;

pub(super) const SHUNNED_FOR: Duration = Duration::from_secs(60);

/// Wrong bodies after which an address is shunned.
const STRIKES: u32 = 2;

const SUSPECTS_MAX: u64 = 4096;

#[derive(Clone, Copy)]
struct Suspicion {
    strikes: u32,
    since: Instant,
}

impl Suspicion {
    fn stands(self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < SHUNNED_FOR
    }
}

pub(super) struct Suspects(Cache<FileRef, Suspicion>);

impl Suspects {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(SUSPECTS_MAX).time_to_live(SHUNNED_FOR).build())
    }

    pub(super) fn strike(&self, file: &FileRef, now: Instant) {
        let strikes = self.standing(file, now).map_or(0, |suspicion| suspicion.strikes);
        self.0.insert(file.clone(), Suspicion { strikes: strikes + 1, since: now });
    }

    pub(super) fn acquit(&self, file: &FileRef) {
        self.0.invalidate(file);
    }

    pub(super) fn suspected(&self, file: &FileRef, now: Instant) -> bool {
        self.standing(file, now).is_some()
    }

    pub(super) fn shunned(&self, file: &FileRef, now: Instant) -> bool {
        self.standing(file, now).is_some_and(|suspicion| suspicion.strikes >= STRIKES)
    }

    fn standing(&self, file: &FileRef, now: Instant) -> Option<Suspicion> {
        self.0.get(file).filter(|suspicion| suspicion.stands(now))
    }
}
