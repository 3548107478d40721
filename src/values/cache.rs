//! The kind of table that is looked into for every request: bounded, and shared by all threads.
//!
//! Its hash (foldhash, with a seed of this process's own) costs a fraction of the usual one. The
//! seed never leaves the process, and a table gives its keys' order to no client. Must not know
//! what is kept.

use std::hash::Hash;
use std::time::Duration;

use foldhash::quality::RandomState;
use moka::policy::EvictionPolicy;

pub type Cache<K, V> = moka::sync::Cache<K, V, RandomState>;

/// One of at most so many entries. A new one is always taken in: what was used longest ago goes.
pub fn bounded<K, V>(entries_max: u64) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let builder = moka::sync::Cache::builder()
        .max_capacity(entries_max)
        .eviction_policy(EvictionPolicy::lru());
    builder.build_with_hasher(RandomState::default())
}

/// The same, whose entries are forgotten after so long.
pub fn bounded_for<K, V>(entries_max: u64, keep: Duration) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let builder = moka::sync::Cache::builder()
        .max_capacity(entries_max)
        .eviction_policy(EvictionPolicy::lru())
        .time_to_live(keep);
    builder.build_with_hasher(RandomState::default())
}

/// One whose values weigh so much together at most.
pub fn weighed<K, V>(
    weight_max: u64,
    weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static,
) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let builder = moka::sync::Cache::builder()
        .max_capacity(weight_max)
        .weigher(weigh);
    builder.build_with_hasher(RandomState::default())
}
