//! The records in force: what was last read, and whether it is still recent enough to go by.
//!
//! Owns how old records may be. Must not know how they are read, nor when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};

use super::set::AdvisorySet;

/// What is done while there are no records, or older ones than allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StaleRule {
    /// No page and no file is given.
    #[default]
    Refuse,
    /// What the old records say still counts, and nothing else does.
    Serve,
}

/// How the records stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedState {
    Current,
    /// They are so old.
    Stale(Duration),
    /// None could be read.
    Missing,
}

/// The records of one configured path.
#[derive(Debug, Default)]
pub struct AdvisoryFeed {
    read: ArcSwapOption<ReadFeed>,
    generation: AtomicU64,
    /// Zero: of any age.
    max_age: Duration,
    on_stale: StaleRule,
}

#[derive(Debug)]
struct ReadFeed {
    set: Arc<AdvisorySet>,
    /// When they were put where they were read.
    dated: SystemTime,
}

impl AdvisoryFeed {
    pub fn new(max_age: Duration, on_stale: StaleRule) -> Self {
        Self {
            max_age,
            on_stale,
            ..Self::default()
        }
    }

    /// Brings records into force that were just read.
    pub fn replace(&self, set: Arc<AdvisorySet>, dated: SystemTime) {
        self.read.store(Some(Arc::new(ReadFeed { set, dated })));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// What is known; nothing before anything was read.
    pub fn set(&self) -> Option<Arc<AdvisorySet>> {
        let read = self.read.load();
        Some(Arc::clone(&read.as_ref()?.set))
    }

    /// Moves with each change of the records.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let read = self.read.load();
        let dated = read.as_ref()?.dated;
        // Of a clock that was set back: they are as new as can be.
        Some(now.duration_since(dated).unwrap_or_default())
    }

    pub fn state(&self, now: SystemTime) -> FeedState {
        match self.age(now) {
            None => FeedState::Missing,
            Some(age) if !self.max_age.is_zero() && age > self.max_age => FeedState::Stale(age),
            Some(_) => FeedState::Current,
        }
    }

    /// Why no page and no file may be given now, if that is so.
    pub fn closed(&self, now: SystemTime) -> Option<FeedState> {
        match (self.on_stale, self.state(now)) {
            (_, FeedState::Current) | (StaleRule::Serve, _) => None,
            (StaleRule::Refuse, state) => Some(state),
        }
    }

    pub fn max_age(&self) -> Duration {
        self.max_age
    }
}
