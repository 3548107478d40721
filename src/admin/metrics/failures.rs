//! The requests that failed last: what was asked for, why it failed, how often, and how long ago.
//!
//! Any client sees them on the status page. Requests that failed alike are one entry, so that a
//! client that tries again and again drives nothing else out. Must not hold the name of a package,
//! a path, a caller or a credential.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::values::request_id::RequestId;

/// Entries that are kept.
const FAILURES_MAX: usize = 20;

/// A request that failed, in words that any client may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    /// The kind of route, as the metrics have it.
    pub route: &'static str,
    /// `gitlab`, or a mirror's name; none where no upstream was asked for.
    pub upstream: Option<String>,
    pub status: u16,
    /// One of the words of docs/troubleshooting.md.
    pub cause: &'static str,
    pub reason: String,
    /// To find its lines in the log; none if a client gave it.
    pub id: Option<RequestId>,
}

impl FailedRequest {
    fn is_like(&self, other: &Self) -> bool {
        let same_place = self.route == other.route && self.upstream == other.upstream;
        same_place && self.status == other.status && self.cause == other.cause
    }
}

/// Requests that failed alike, at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The last of them.
    pub request: FailedRequest,
    pub count: u64,
    pub ago: Duration,
}

#[derive(Debug)]
struct Entry {
    request: FailedRequest,
    count: u64,
    at: Instant,
}

/// The newest first.
#[derive(Debug, Default)]
pub struct RecentFailures(Mutex<VecDeque<Entry>>);

impl RecentFailures {
    pub fn record(&self, request: FailedRequest, now: Instant) {
        let mut entries = self.0.lock();
        let place = entries
            .iter()
            .position(|entry| entry.request.is_like(&request));
        let before = place.and_then(|place| entries.remove(place));
        entries.push_front(Entry {
            request,
            count: before.map_or(1, |before| before.count.saturating_add(1)),
            at: now,
        });
        entries.truncate(FAILURES_MAX);
    }

    pub fn read(&self, now: Instant) -> Vec<Failures> {
        let entries = self.0.lock();
        let read = |entry: &Entry| Failures {
            request: entry.request.clone(),
            count: entry.count,
            ago: now.saturating_duration_since(entry.at),
        };
        entries.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::clock;

    fn failed(status: u16, reason: &str) -> FailedRequest {
        FailedRequest {
            route: "page",
            upstream: Some("gitlab".to_owned()),
            status,
            cause: "not_found",
            reason: reason.to_owned(),
            id: None,
        }
    }

    #[test]
    fn what_failed_alike_is_one_entry_and_the_newest_is_first() {
        let recent = RecentFailures::default();
        let begun = clock::now();
        let second = Duration::from_secs(1);
        recent.record(failed(404, "first"), begun);
        recent.record(failed(401, "other"), begun + second);
        recent.record(failed(404, "last"), begun + 2 * second);
        let read = recent.read(begun + 5 * second);
        let told: Vec<_> = read
            .iter()
            .map(|failures| {
                (
                    failures.request.reason.as_str(),
                    failures.count,
                    failures.ago,
                )
            })
            .collect();
        assert_eq!(told, [("last", 2, 3 * second), ("other", 1, 4 * second)]);
    }

    #[test]
    fn the_list_has_an_end() {
        let recent = RecentFailures::default();
        for status in 0..1000 {
            recent.record(failed(status, ""), clock::now());
        }
        assert_eq!(recent.read(clock::now()).len(), FAILURES_MAX);
    }
}
