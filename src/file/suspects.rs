//! Addresses that lately yielded wrong bytes.
//!
//! One wrong body may be one bad node: the next request asks again, on a fresh connection, and nothing is shown before
//! it is verified. Two within [`SHUNNED_FOR`] and the address is left alone for as long. Must not ask anybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::flight_counts::FlightCounts;
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

pub(super) struct Suspects {
    known: Cache<FileRef, Suspicion>,
    counts: Arc<FlightCounts>,
}

impl Suspects {
    pub(super) fn new(counts: Arc<FlightCounts>) -> Self {
        let known = Cache::builder()
            .max_capacity(SUSPECTS_MAX)
            .time_to_live(SHUNNED_FOR)
            .build();
        Self { known, counts }
    }

    pub(super) fn strike(&self, file: &FileRef, now: Instant) {
        let strikes = self
            .standing(file, now)
            .map_or(0, |suspicion| suspicion.strikes);
        self.counts.wrong_body();
        self.known.insert(
            file.clone(),
            Suspicion {
                strikes: strikes + 1,
                since: now,
            },
        );
    }

    pub(super) fn acquit(&self, file: &FileRef) {
        self.known.invalidate(file);
    }

    pub(super) fn suspected(&self, file: &FileRef, now: Instant) -> bool {
        self.standing(file, now).is_some()
    }

    pub(super) fn shunned(&self, file: &FileRef, now: Instant) -> bool {
        self.standing(file, now)
            .is_some_and(|suspicion| suspicion.strikes >= STRIKES)
    }

    /// Addresses that are left alone.
    pub(super) fn shunning(&self, now: Instant) -> u64 {
        let shunned = |suspicion: &Suspicion| suspicion.stands(now) && suspicion.strikes >= STRIKES;
        self.known
            .iter()
            .filter(|(_, suspicion)| shunned(suspicion))
            .count() as u64
    }

    fn standing(&self, file: &FileRef, now: Instant) -> Option<Suspicion> {
        self.known
            .get(file)
            .filter(|suspicion| suspicion.stands(now))
    }
}
