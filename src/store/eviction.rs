//! Which bodies are evicted next: one walk over the store answers for many evictions.
//!
//! A walk over a million files takes seconds, and a download waits while room is made for it. So
//! the bodies that were unused the longest are kept in order, and evictions take them from there.
//! That is as exact as a walk each time: every other body was used later than all of these, and one
//! that was used or replaced since is passed over, because it no longer looks as it did. What sets
//! name comes last, and is taken only right after a walk. Must not remove anything.

use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::time::SystemTime;

use super::blob::StoredBlob;
use crate::values::digest::Digest;

/// Bodies kept of one walk: some megabyte of memory, and in wheels some gigabytes of the store.
const QUEUED_MAX: usize = 16_384;

/// With fewer than this left a walk is due, before a download has to wait for it.
const QUEUED_MIN: usize = QUEUED_MAX / 4;

/// The longest unused first.
#[derive(Default)]
pub struct EvictionQueue {
    next: VecDeque<StoredBlob>,
    /// There were more than were kept.
    was_cut: bool,
}

impl EvictionQueue {
    pub fn pop(&mut self) -> Option<StoredBlob> {
        self.next.pop_front()
    }

    /// Leaves to the next walk what a set names: by then there may be others.
    pub fn drop_wanted(&mut self, wanted: &HashSet<Digest>) {
        self.next.retain(|blob| !wanted.contains(&blob.digest));
    }

    pub fn runs_low(&self) -> bool {
        self.was_cut && self.next.len() < QUEUED_MIN
    }
}

/// Those of all bodies that are evicted first, found one body at a time.
pub struct LongestUnused<'a> {
    wanted: &'a HashSet<Digest>,
    most: usize,
    /// Whether a set names it, when it was used last, and the body; the last one to go on top.
    first: BinaryHeap<(bool, SystemTime, StoredBlob)>,
    was_cut: bool,
}

impl<'a> LongestUnused<'a> {
    pub fn new(wanted: &'a HashSet<Digest>) -> Self {
        Self::of_at_most(QUEUED_MAX, wanted)
    }

    fn of_at_most(most: usize, wanted: &'a HashSet<Digest>) -> Self {
        Self {
            wanted,
            most,
            first: BinaryHeap::new(),
            was_cut: false,
        }
    }

    pub fn add(&mut self, blob: StoredBlob) {
        let is_wanted = self.wanted.contains(&blob.digest);
        self.first.push((is_wanted, blob.used, blob));
        if self.first.len() > self.most {
            self.first.pop();
            self.was_cut = true;
        }
    }

    pub fn into_queue(self) -> EvictionQueue {
        let in_order = self.first.into_sorted_vec();
        EvictionQueue {
            next: in_order.into_iter().map(|(_, _, blob)| blob).collect(),
            was_cut: self.was_cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::ledger::victims;
    use super::*;

    fn blob(number: usize, age: u64) -> StoredBlob {
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000 - age);
        StoredBlob {
            digest: Digest::of(&number.to_le_bytes()),
            bytes: 1,
            used,
            written: used,
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_a_walk_would_evict_first(
            ages in prop::collection::vec((0..100_000u64, prop::bool::weighted(0.3)), 0..60),
            most in 1..40usize,
        ) {
            let mut blobs = Vec::new();
            let mut wanted = HashSet::new();
            for (number, (age, is_wanted)) in ages.iter().enumerate() {
                blobs.push(blob(number, *age));
                if *is_wanted {
                    wanted.insert(blobs[number].digest);
                }
            }
            let mut found = LongestUnused::of_at_most(most, &wanted);
            for blob in &blobs {
                found.add(*blob);
            }
            let queue = found.into_queue();
            prop_assert_eq!(queue.was_cut, blobs.len() > most);
            let expected = victims(blobs, &wanted, most as u64);
            let rank = |blob: &StoredBlob| (wanted.contains(&blob.digest), blob.used);
            let kept: Vec<_> = queue.next.iter().map(rank).collect();
            prop_assert_eq!(kept, expected.iter().map(rank).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_a_set_names_waits_for_the_next_walk() {
        let wanted = HashSet::from([blob(1, 0).digest]);
        let mut found = LongestUnused::new(&wanted);
        found.add(blob(1, 9));
        found.add(blob(2, 5));
        let mut queue = found.into_queue();
        queue.drop_wanted(&wanted);
        assert_eq!(queue.pop(), Some(blob(2, 5)));
        assert_eq!(queue.pop(), None);
    }
}
