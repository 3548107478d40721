//! How many requests a client may send in a second, with bursts.
//!
//! A token bucket for each client, kept as one instant: when it will be full again (the generic
//! cell rate algorithm). Owns the decision and the table, which is bounded. Must not know what is
//! asked, nor how a refusal is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::Mutex;

use super::ServerLimits;
use super::wire::ClientAddress;

/// Clients remembered. A forgotten one has a full bucket again: a client with so many addresses is
/// not held by a limit on each of them.
const CLIENTS_MAX: u64 = 65_536;

/// The rate of one client, as the configuration has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// Between two requests at the full rate.
    interval: Duration,
    /// For an empty bucket to be full.
    refill: Duration,
}

/// What is left of a client's burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TokenBucket {
    full_at: Instant,
}

impl TokenBucket {
    /// Takes one request, or says how long to wait for it.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + rate.interval;
        let missing = full_at.saturating_duration_since(now);
        match missing.checked_sub(rate.refill) {
            None | Some(Duration::ZERO) => {
                self.full_at = full_at;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

/// `limits.requests_per_second`, as it is held to.
pub(super) struct RequestRate {
    /// None: no limit.
    rate: Option<Rate>,
    clients: Cache<ClientAddress, Arc<Mutex<TokenBucket>>>,
}

impl RequestRate {
    fn new(limits: &ServerLimits) -> Self {
        let rate = (limits.requests_per_second > 0).then(|| {
            let interval = Duration::from_secs(1) / limits.requests_per_second;
            Rate {
                interval,
                refill: interval * limits.requests_burst.max(1),
            }
        });
        // What has not been touched for a refill is full: the same as not there.
        let idle = rate.map_or(Duration::ZERO, |rate| rate.refill + Duration::from_secs(1));
        let clients = Cache::builder()
            .max_capacity(CLIENTS_MAX)
            .time_to_idle(idle)
            .build();
        Self { rate, clients }
    }

    /// The same with the clients of `before`, if the rate is still the same.
    #[must_use]
    pub(super) fn following(limits: &ServerLimits, before: Option<&Arc<Self>>) -> Arc<Self> {
        let new = Self::new(limits);
        match before {
            Some(before) if before.rate == new.rate => Arc::clone(before),
            _ => Arc::new(new),
        }
    }

    /// Takes one request of a client's; none is one over a unix socket, where there is no limit.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn admit(
        &self,
        client: Option<ClientAddress>,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(rate) = self.rate else {
            return Ok(());
        };
        let Some(client) = client else {
            return Ok(());
        };
        let bucket = self.clients.get_with(client, || {
            Arc::new(Mutex::new(TokenBucket { full_at: now }))
        });
        bucket.lock().take(rate, now)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests own their clock")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let interval = Duration::from_secs(1) / per_second;
        Rate {
            interval,
            refill: interval * burst,
        }
    }

    #[test]
    fn one_client_does_not_wait_for_another_and_a_socket_for_nobody() {
        let limits = ServerLimits {
            requests_per_second: 1,
            requests_burst: 2,
            ..ServerLimits::default()
        };
        let held = RequestRate::new(&limits);
        let now = Instant::now();
        let [one, other] = [1, 2].map(|last| Some(ClientAddress::of([192, 0, 2, last].into())));
        let answers =
            [one, one, one, other, None, None, None].map(|client| held.admit(client, now));
        let wait = Err(Duration::from_secs(1));
        assert_eq!(
            answers,
            [Ok(()), Ok(()), wait, Ok(()), Ok(()), Ok(()), Ok(())]
        );
        let free = RequestRate::new(&ServerLimits::default());
        assert!(
            (0..10_000).all(|_| free.admit(one, now).is_ok()),
            "off unless configured"
        );
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_burst_and_the_rate(
            per_second in 1..200_u32,
            burst in 1..50_u32,
            pauses in proptest::collection::vec(0..200_u64, 1..300),
        ) {
            let rate = rate(per_second, burst);
            let start = Instant::now();
            let mut bucket = TokenBucket { full_at: start };
            let mut now = start;
            let mut taken = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                match bucket.take(rate, now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        let mut later = bucket;
                        prop_assert_eq!(later.take(rate, now + wait), Ok(()), "the wait that is told is enough");
                        let mut sooner = bucket;
                        let early = now + wait.saturating_sub(Duration::from_nanos(1));
                        prop_assert!(sooner.take(rate, early).is_err(), "and not longer than needed");
                    }
                }
            }
            for (index, from) in taken.iter().enumerate() {
                for (count, to) in taken[index..].iter().enumerate() {
                    let allowed = rate.refill + (*to - *from);
                    prop_assert!(rate.interval * u32::try_from(count + 1).unwrap_or(u32::MAX) <= allowed);
                }
            }
        }

        #[test]
        fn whoever_keeps_to_the_rate_is_never_refused(per_second in 1..500_u32, burst in 1..50_u32) {
            let rate = rate(per_second, burst);
            let mut now = Instant::now();
            let mut bucket = TokenBucket { full_at: now };
            for _ in 0..200 {
                prop_assert_eq!(bucket.take(rate, now), Ok(()));
                now += rate.interval;
            }
        }
    }
}
