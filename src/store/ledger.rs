//! The budget: bytes stored, bytes promised to flights, and what is evicted when it is spent.
//!
//! Pure: a flight reserves before it writes, so that the budget holds for bytes in flight too;
//! eviction is a choice over a list of what there is. Must not touch the disk.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::blob::StoredBlob;
use crate::values::digest::Digest;

/// After eviction this part of the budget is free.
const HEADROOM: u64 = 64;

/// One cache folder's budget.
#[derive(Debug)]
pub struct Ledger {
    budget: AtomicU64,
    /// Stored and reserved together: one number, so that two flights cannot both take the last
    /// byte.
    taken: AtomicU64,
}

/// Bytes promised to one flight; given back when dropped, unless they were stored.
#[derive(Debug)]
pub struct Reservation {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl Ledger {
    pub fn new(budget: u64) -> Self {
        Self {
            budget: AtomicU64::new(budget),
            taken: AtomicU64::new(0),
        }
    }

    pub fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// Changes the budget. One that is spent already lets nothing more in until enough was evicted.
    pub(super) fn set_budget(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::Relaxed);
    }

    /// Bytes stored or promised.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Promises `bytes`, if they fit.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let budget = self.budget();
        let fits = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= budget);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .ok()?;
        Some(Reservation {
            ledger: Arc::clone(self),
            bytes,
        })
    }

    /// Counts bytes found on disk.
    pub(super) fn found(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Counts bytes removed from disk.
    pub(super) fn removed(&self, bytes: u64) {
        let less = |taken: u64| Some(taken.saturating_sub(bytes));
        let _ = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// How many bytes must go so that `needed` more fit, with some room to spare, so that the next
    /// one need not evict too. Zero if they fit now.
    pub(super) fn excess(&self, needed: u64) -> u64 {
        let wanted = self.taken().saturating_add(needed);
        let budget = self.budget();
        if wanted <= budget {
            return 0;
        }
        (wanted - budget).saturating_add(budget / HEADROOM)
    }
}

impl Reservation {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Asks for more, for a body whose length was not announced.
    pub(super) fn grow_to(&mut self, bytes: u64) -> Option<()> {
        if bytes > self.bytes {
            let mut extra = self.ledger.reserve(bytes - self.bytes)?;
            self.bytes += std::mem::take(&mut extra.bytes);
        }
        Some(())
    }

    /// The bytes are on disk to stay: `stored` of them.
    pub(super) fn keep(mut self, stored: u64) {
        let unused = std::mem::take(&mut self.bytes).saturating_sub(stored);
        self.ledger.removed(unused);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.removed(self.bytes);
    }
}

/// What is evicted: what no set names first, of that the longest unused first, until `excess` bytes
/// are gone. `wanted` is what sets name.
pub fn victims(
    mut blobs: Vec<StoredBlob>,
    wanted: &HashSet<Digest>,
    excess: u64,
) -> Vec<StoredBlob> {
    if excess == 0 {
        return Vec::new();
    }
    blobs.sort_by_cached_key(|blob| (wanted.contains(&blob.digest), blob.used));
    let mut gone = 0;
    let mut victims = Vec::new();
    for blob in blobs {
        if gone >= excess {
            break;
        }
        gone += blob.bytes;
        victims.push(blob);
    }
    victims
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_budget_is_never_exceeded_and_everything_is_given_back(sizes in prop::collection::vec(0..400u64, 0..40)) {
            let ledger = Arc::new(Ledger::new(1000));
            let held: Vec<_> = sizes.iter().filter_map(|bytes| ledger.reserve(*bytes)).collect();
            prop_assert!(ledger.taken() <= 1000);
            prop_assert_eq!(ledger.taken(), held.iter().map(Reservation::bytes).sum::<u64>());
            drop(held);
            prop_assert_eq!(ledger.taken(), 0);
        }

        #[test]
        fn just_enough_of_the_longest_unused_make_way(
            sizes in prop::collection::vec((1..100u64, prop::bool::weighted(0.3)), 0..50),
            excess in 0..3000u64,
        ) {
            let mut named = HashSet::new();
            let mut blobs = Vec::new();
            for (age, (bytes, wanted)) in sizes.iter().enumerate() {
                let digest = Digest::of(&age.to_le_bytes());
                if *wanted {
                    named.insert(digest);
                }
                let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age as u64);
                blobs.push(StoredBlob { digest, bytes: *bytes, used, written: used });
            }
            let gone = victims(blobs, &named, excess);
            let is_wanted = |blob: &StoredBlob| named.contains(&blob.digest);
            let freed: u64 = gone.iter().map(|victim| victim.bytes).sum();
            prop_assert!(freed >= excess || gone.len() == sizes.len());
            if let Some(last) = gone.last() {
                prop_assert!(freed - last.bytes < excess);
            }
            let in_order = gone.windows(2).all(|pair| (is_wanted(&pair[0]), pair[0].used) <= (is_wanted(&pair[1]), pair[1].used));
            prop_assert!(in_order);
            let unnamed = sizes.iter().filter(|(_, wanted)| !wanted).count();
            if gone.iter().any(is_wanted) {
                prop_assert_eq!(gone.iter().filter(|victim| !is_wanted(victim)).count(), unnamed);
            }
        }
    }

    #[test]
    fn a_smaller_budget_lets_nothing_in_until_enough_has_gone() {
        let ledger = Arc::new(Ledger::new(100));
        ledger.found(80);
        ledger.set_budget(64);
        assert_eq!(ledger.excess(0), 16 + 1);
        assert!(ledger.reserve(1).is_none());
        ledger.removed(20);
        assert_eq!((ledger.excess(0), ledger.reserve(4).is_some()), (0, true));
    }

    #[test]
    fn what_was_stored_stays_counted() {
        let ledger = Arc::new(Ledger::new(100));
        if let Some(reservation) = ledger.reserve(60) {
            reservation.keep(50);
        }
        assert_eq!(ledger.taken(), 50);
        assert_eq!(ledger.excess(40), 0);
        assert_eq!(ledger.excess(60), 10 + 1);
    }
}
