//! How fast requests may follow each other.
//!
//! The decision is pure. Must not know what is asked.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::values::clock;

/// So many requests a minute, half of which may come at once (the generic cell rate algorithm).
pub struct RequestRate {
    interval: Duration,
    burst: u32,
    /// When the next request would be due if all came evenly.
    due: Mutex<Option<Instant>>,
}

impl RequestRate {
    pub fn per_minute(requests: u32) -> Self {
        let requests = requests.max(1);
        Self {
            interval: Duration::from_secs(60) / requests,
            burst: requests / 2,
            due: Mutex::new(None),
        }
    }

    /// Returns when the next request may be sent.
    pub async fn turn(&self) {
        let wait = self.wait(clock::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn wait(&self, now: Instant) -> Duration {
        let mut next = self.due.lock();
        let due = next.map_or(now, |due| due.max(now));
        *next = Some(due + self.interval);
        let ahead = due.saturating_duration_since(now);
        ahead.saturating_sub(self.interval * self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_minutes_requests_come_at_once_and_the_others_evenly() {
        let rate = RequestRate::per_minute(60);
        let start = clock::now();
        let waits: Vec<u64> = (0..34).map(|_| rate.wait(start).as_secs()).collect();
        assert!(waits[..=30].iter().all(|wait| *wait == 0), "{waits:?}");
        assert_eq!(waits[31..], [1, 2, 3]);
        let later = start + Duration::from_secs(600);
        assert!((0..=30).all(|_| rate.wait(later).is_zero()));
        assert_eq!(
            rate.wait(later),
            Duration::from_secs(1),
            "no more is saved up"
        );
    }

    #[test]
    fn a_rate_of_nothing_is_one_a_minute() {
        let rate = RequestRate::per_minute(0);
        let now = clock::now();
        assert_eq!(rate.wait(now), Duration::ZERO);
        assert_eq!(rate.wait(now), Duration::from_secs(60));
    }
}
