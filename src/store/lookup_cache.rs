//! What was looked up, in the index or in the fleet's store, remembered.
//!
//! Owns the rule that a lookup from before a change is not remembered after it. Must not know what
//! is looked up.

use std::hash::Hash;

use parking_lot::Mutex;

use crate::values::cache::{self, Cache};

pub struct LookupCache<K, V> {
    remembered: Cache<K, V>,
    /// Counts the changes. Held while what is remembered changes.
    generation: Mutex<u64>,
}

impl<K, V> LookupCache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub fn new(entries_max: u64) -> Self {
        Self {
            remembered: cache::bounded(entries_max),
            generation: Mutex::default(),
        }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        self.remembered.get(key)
    }

    /// To be read before it is looked up.
    pub fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    /// Remembers what was found in that generation, unless something changed since.
    pub fn remember(&self, key: K, value: V, found_in: u64) {
        let generation = self.generation.lock();
        if *generation == found_in {
            self.remembered.insert(key, value);
        }
    }

    /// Remembers what is found from now on, or nothing; `counts` if lookups may find another
    /// answer than before.
    pub fn change(&self, key: K, value: Option<V>, counts: bool) {
        let mut generation = self.generation.lock();
        *generation += u64::from(counts);
        match value {
            Some(value) => self.remembered.insert(key, value),
            None => {
                self.remembered.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_up_before_a_change_is_not_remembered_after_it() {
        let cache = LookupCache::new(8);
        let before = cache.generation();
        // It is taken back while it is looked up.
        cache.change("fact", None, true);
        cache.remember("fact", 1, before);
        assert_eq!(cache.get(&"fact"), None);
        cache.remember("fact", 2, cache.generation());
        assert_eq!(cache.get(&"fact"), Some(2));
        cache.change("fact", None, true);
        assert_eq!(cache.get(&"fact"), None);
    }
}
