//! The kind of table that is looked into for every request: bounded, and shared by all threads.
//!
//! A look-up takes a shared lock and a hash (foldhash, with a seed of this process's own) and copies
//! the value; the time of its use, which is counted in insertions, is written down only where it is
//! another. The seed never leaves the process, and a table gives its keys' order to no client. Must
//! not know what is kept.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use parking_lot::RwLock;

use crate::values::clock;

/// Of so many entries from all over the table the one goes that was used longest ago.
const COMPARED: usize = 16;

/// At each insertion so many entries are looked at whether their time is over: a table is never
/// twice as large as what counts of it.
const LOOKED_AT: usize = 2;

/// Scatters what is compared: by the golden ratio each place is far from the ones before (Knuth's
/// multiplicative hash).
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

pub struct Cache<K, V> {
    table: RwLock<Table<K, V>>,
    weigh: Box<Weigh<K, V>>,
    weight_max: u64,
    /// For how long an entry is worth its memory.
    keep: Option<Duration>,
}

type Weigh<K, V> = dyn Fn(&K, &V) -> u32 + Send + Sync;

struct Table<K, V> {
    entries: IndexMap<K, Entry<V>, RandomState>,
    weight: u64,
    /// Moves with each insertion, by two: uses are between.
    time: u64,
    /// Which entry is looked at next.
    next: usize,
}

struct Entry<V> {
    value: V,
    weight: u32,
    since: Instant,
    used: AtomicU64,
}

/// One of at most so many entries. A new one is always taken in: what was used longest ago goes.
pub fn bounded<K, V>(entries_max: u64) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    weighed(entries_max, |_, _| 1)
}

/// The same, whose entries are forgotten after so long. That frees memory and no more: one may be
/// given after its time.
pub fn bounded_for<K, V>(entries_max: u64, keep: Duration) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache {
        keep: Some(keep),
        ..bounded(entries_max)
    }
}

/// One whose values weigh so much together at most; what weighs more by itself is not taken in.
pub fn weighed<K, V>(
    weight_max: u64,
    weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static,
) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache {
        table: RwLock::new(Table {
            entries: IndexMap::default(),
            weight: 0,
            time: 0,
            next: 0,
        }),
        weigh: Box::new(weigh),
        weight_max,
        keep: None,
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub fn get(&self, key: &K) -> Option<V> {
        let table = self.table.read();
        let entry = table.entries.get(key)?;
        // Later than what was put in last.
        let now = table.time + 1;
        if entry.used.load(Ordering::Relaxed) != now {
            entry.used.store(now, Ordering::Relaxed);
        }
        Some(entry.value.clone())
    }

    pub fn insert(&self, key: K, value: V) {
        self.put(key, |_| value);
    }

    /// Puts in what is made of the value that is known, if one is.
    pub fn put(&self, key: K, make: impl FnOnce(Option<&V>) -> V) {
        let now = clock::now();
        let mut gone = Vec::new();
        let mut table = self.table.write();
        table.time += 2;
        self.look_for_lapsed(&mut table, &mut gone, now);
        let known = table.entries.get(&key).map(|known| &known.value);
        let value = make(known);
        let weight = (self.weigh)(&key, &value);
        if u64::from(weight) > self.weight_max {
            gone.extend(table.take(&key));
        } else {
            let entry = Entry {
                value,
                weight,
                since: now,
                used: AtomicU64::new(table.time),
            };
            gone.extend(table.put(key, entry));
        }
        while table.weight > self.weight_max && table.entries.len() > 1 {
            let place = table.longest_unused();
            gone.extend(table.take_at(place));
        }
        // Values end without the lock.
        drop(table);
    }

    pub fn remove(&self, key: &K) -> Option<V> {
        let taken = self.table.write().take(key)?;
        Some(taken.value)
    }

    pub fn clear(&self) {
        let mut table = self.table.write();
        let entries = std::mem::take(&mut table.entries);
        table.weight = 0;
        // Values end without the lock.
        drop(table);
        drop(entries);
    }

    #[cfg(test)]
    pub fn weight(&self) -> u64 {
        self.table.read().weight
    }

    /// How many entries are worth their memory at a time.
    pub fn count(&self, now: Instant) -> u64 {
        let mut gone = Vec::new();
        let mut table = self.table.write();
        let mut place = 0;
        while let Some((_, entry)) = table.entries.get_index(place) {
            match self.has_lapsed(entry, now) {
                true => gone.extend(table.take_at(place)),
                false => place += 1,
            }
        }
        let count = table.entries.len() as u64;
        drop(table);
        count
    }

    fn has_lapsed(&self, entry: &Entry<V>, now: Instant) -> bool {
        match self.keep {
            Some(keep) => now.saturating_duration_since(entry.since) >= keep,
            None => false,
        }
    }

    fn look_for_lapsed(&self, table: &mut Table<K, V>, gone: &mut Vec<Entry<V>>, now: Instant) {
        for _ in 0..LOOKED_AT {
            let Some((_, entry)) = table.entries.get_index(table.next) else {
                table.next = 0;
                return;
            };
            match self.has_lapsed(entry, now) {
                true => gone.extend(table.take_at(table.next)),
                false => table.next += 1,
            }
        }
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// Gives back what was there before.
    fn put(&mut self, key: K, entry: Entry<V>) -> Option<Entry<V>> {
        self.weight += u64::from(entry.weight);
        let before = self.entries.insert(key, entry)?;
        self.weight -= u64::from(before.weight);
        Some(before)
    }

    fn take(&mut self, key: &K) -> Option<Entry<V>> {
        let entry = self.entries.swap_remove(key)?;
        self.weight -= u64::from(entry.weight);
        Some(entry)
    }

    fn take_at(&mut self, place: usize) -> Option<Entry<V>> {
        let (_, entry) = self.entries.swap_remove_index(place)?;
        self.weight -= u64::from(entry.weight);
        Some(entry)
    }

    /// In a small table, of all; in a large one, of some that lie far from each other: what lies
    /// side by side was put in at about the same time, and is often used together.
    fn longest_unused(&self) -> usize {
        let count = self.entries.len();
        let places = (0..COMPARED.min(count)).map(|step| self.place(step, count));
        let used = |place: &usize| self.entries[*place].used.load(Ordering::Relaxed);
        places.min_by_key(used).unwrap_or_default()
    }

    /// One of `count` places that are compared; all of them in so many steps if there are few.
    fn place(&self, step: usize, count: usize) -> usize {
        if count <= COMPARED {
            return step;
        }
        // Time moves by two.
        let number = (self.time / 2).wrapping_mul(COMPARED as u64) + step as u64;
        let scattered = u128::from(number.wrapping_mul(SCATTER));
        usize::try_from((scattered * count as u128) >> 64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, OnceLock};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes() {
        let table = bounded(3);
        for name in ["a", "b", "c"] {
            table.insert(name, name);
        }
        assert_eq!(table.get(&"a"), Some("a"));
        table.insert("d", "d");
        assert_eq!(table.get(&"b"), None);
        table.insert("e", "e");
        assert_eq!(
            ["a", "c", "d", "e"].map(|name| table.get(&name).is_some()),
            [true, false, true, true]
        );
    }

    #[test]
    fn in_a_large_table_what_is_in_use_stays_though_it_lies_together() {
        let table = bounded(1_000);
        for number in 0..20_000 {
            table.insert(number, ());
            for used in 0..100 {
                assert!(
                    number < used || table.get(&used).is_some(),
                    "{used} by {number}"
                );
            }
        }
        assert_eq!(table.count(clock::now()), 1_000);
    }

    /// Notes whether it ended while its table could be looked into.
    #[derive(Clone)]
    struct Witness(Arc<AtomicBool>, Arc<OnceLock<Cache<u8, Self>>>);

    impl Drop for Witness {
        fn drop(&mut self) {
            let is_free = match self.1.get() {
                Some(table) => table.table.try_write().is_some(),
                None => false,
            };
            self.0.fetch_and(is_free, Ordering::Relaxed);
        }
    }

    #[test]
    fn values_end_without_the_lock() {
        let free = Arc::new(AtomicBool::new(true));
        let held = Arc::new(OnceLock::new());
        let weigh = |key: &u8, _: &Witness| u32::from(*key);
        let table = weighed(10, weigh);
        assert!(held.set(table).is_ok());
        let table = held.get().expect("set");
        let put = |key| table.insert(key, Witness(Arc::clone(&free), Arc::clone(&held)));
        put(4);
        assert_eq!(Arc::strong_count(&free), 2);
        put(4);
        assert_eq!(Arc::strong_count(&free), 2, "replaced");
        put(9);
        assert_eq!(Arc::strong_count(&free), 2, "evicted");
        put(11);
        assert_eq!(Arc::strong_count(&free), 2, "too heavy");
        drop(table.remove(&9));
        assert_eq!(Arc::strong_count(&free), 1, "taken out");
        assert!(free.load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_too_heavy_is_not_taken_in_nor_what_it_replaces_kept() {
        let table = weighed(10, |_, weight: &u32| *weight);
        table.insert("a", 4);
        table.insert("b", 5);
        table.insert("a", 11);
        assert_eq!((table.get(&"a"), table.get(&"b")), (None, Some(5)));
        table.insert("c", 10);
        assert_eq!((table.get(&"b"), table.get(&"c")), (None, Some(10)));
    }

    #[test]
    fn a_table_is_never_twice_as_large_as_what_counts_of_it() {
        let table = bounded_for(u64::MAX, Duration::from_nanos(1));
        for number in 0..1_000 {
            table.insert(number, ());
        }
        assert!(table.table.read().entries.len() < 20);
        assert_eq!(table.count(clock::now() + Duration::from_secs(1)), 0);
    }

    proptest! {
        #[test]
        fn it_says_what_was_put_in_last_or_nothing(
            steps in prop::collection::vec((0..8_u8, 0..40_u32, any::<bool>()), 0..200),
        ) {
            let table = weighed(100, |_, weight: &u32| *weight);
            let mut all = HashMap::new();
            for (key, weight, stays) in steps {
                if stays {
                    table.insert(key, weight);
                    all.insert(key, weight);
                    prop_assert_eq!(table.get(&key), Some(weight));
                } else {
                    table.remove(&key);
                    all.remove(&key);
                }
                let kept = all.keys().filter_map(|key| table.get(key));
                prop_assert_eq!(table.weight(), kept.map(u64::from).sum::<u64>());
                prop_assert!(table.weight() <= 100);
                prop_assert!(all.iter().all(|(key, weight)| table.get(key).is_none_or(|known| known == *weight)));
            }
        }
    }
}
