//! When something ended, for each of many keys: what was learned in answer to a question from before
//! the end counts no more.
//!
//! Times and not entries taken out of other tables, so that an answer which is on its way just then
//! does not bring back what ended. Most questions are younger than every end, which is seen without
//! a look into the table. Must not know what ended.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::values::cache::{self, Cache};
use crate::values::clock;

pub struct Ends<K> {
    times: Cache<K, Instant>,
    /// What `latest` counts from.
    since: Instant,
    /// The latest of all ends, in nanoseconds, and one more; 0 while there is none.
    latest: AtomicU64,
}

impl<K: Hash + Eq + Send + Sync + 'static> Ends<K> {
    pub fn bounded(entries_max: u64) -> Self {
        Self::of(cache::bounded(entries_max))
    }

    /// The same, forgotten after so long.
    pub fn bounded_for(entries_max: u64, keep: Duration) -> Self {
        Self::of(cache::bounded_for(entries_max, keep))
    }

    fn of(times: Cache<K, Instant>) -> Self {
        Self {
            times,
            since: clock::now(),
            latest: AtomicU64::new(0),
        }
    }

    /// Two may be noted out of their order: the later one counts.
    pub fn note(&self, key: K, at: Instant) {
        // First, so that none is in the table that is not looked for there.
        self.latest.fetch_max(self.number(at), Ordering::SeqCst);
        self.times
            .put(key, |known| known.map_or(at, |known| at.max(*known)));
    }

    /// Whether it ended when or after a question was sent; whether it ever did, of a question from
    /// no known time.
    pub fn overtake(&self, key: &K, asked: Option<Instant>) -> bool {
        let latest = self.latest.load(Ordering::SeqCst);
        if latest == 0 || asked.is_some_and(|asked| self.number(asked) > latest) {
            return false;
        }
        match self.times.get(key) {
            Some(end) => asked.is_none_or(|asked| asked <= end),
            None => false,
        }
    }

    fn number(&self, at: Instant) -> u64 {
        let nanoseconds = at.saturating_duration_since(self.since).as_nanos();
        u64::try_from(nanoseconds)
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_from_before_the_end_does_not_count_and_a_later_one_does() {
        let ends = Ends::bounded(10);
        let at = |seconds| ends.since + Duration::from_secs(seconds);
        assert!(!ends.overtake(&"a", Some(at(0))) && !ends.overtake(&"a", None));
        ends.note("a", at(5));
        ends.note("a", at(3));
        for (seconds, overtaken) in [(0, true), (5, true), (6, false)] {
            assert_eq!(ends.overtake(&"a", Some(at(seconds))), overtaken);
        }
        assert!(ends.overtake(&"a", None));
        ends.note("b", at(9));
        assert!(!ends.overtake(&"a", Some(at(6))) && ends.overtake(&"b", Some(at(6))));
        assert!(!ends.overtake(&"c", Some(at(1))) && !ends.overtake(&"c", None));
        let before = ends.since.checked_sub(Duration::from_secs(1));
        assert!(before.is_none_or(|before| ends.overtake(&"a", Some(before))));
    }
}
