//! Whether a failed read is tried again, and when.
//!
//! Pure. Only GET and HEAD come here, and only before a byte of the answer went on. Must not sleep.

use std::time::Duration;

use http::StatusCode;

/// How one try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TryOutcome {
    /// No connection, or it broke before an answer.
    Broken,
    /// Waited for as long as is right already.
    TimedOut,
    /// Another try would end as this one.
    Hopeless,
    Answered {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPolicy {
    pub retries: u32,
    pub retry_after_max: Duration,
}

/// First pause; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

impl RetryPolicy {
    /// The pause before try number `done + 1`, or `None` to take what there is. `jitter` is in
    /// 0..=1.
    pub(super) fn pause(&self, done: u32, outcome: TryOutcome, jitter: f64) -> Option<Duration> {
        if done > self.retries {
            return None;
        }
        let backoff = PAUSE * 2u32.saturating_pow(done.saturating_sub(1)).min(64);
        let spread = backoff.mul_f64(0.5 + jitter.clamp(0.0, 1.0));
        match outcome {
            TryOutcome::Broken => Some(spread),
            TryOutcome::TimedOut | TryOutcome::Hopeless => None,
            TryOutcome::Answered {
                status,
                retry_after,
            } => match (status.as_u16(), retry_after) {
                (429 | 503, Some(wait)) if wait <= self.retry_after_max => Some(wait),
                (429 | 503, Some(_)) => None,
                (502..=504, _) => Some(spread),
                _ => None,
            },
        }
    }
}

/// `Retry-After` in either form (RFC 9110 §10.2.3): seconds, or a date seen from `now`.
pub fn retry_after(value: &str, now: std::time::SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        retries: 2,
        retry_after_max: Duration::from_secs(3),
    };

    fn answered(status: u16, seconds: Option<u64>) -> TryOutcome {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        TryOutcome::Answered {
            status,
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    #[test]
    fn refusals_are_taken_and_failures_are_tried_again() {
        for status in [200, 206, 302, 304, 400, 401, 403, 404, 416, 500] {
            assert_eq!(
                POLICY.pause(1, answered(status, None), 0.5),
                None,
                "{status}"
            );
        }
        for status in [502, 503, 504] {
            assert!(
                POLICY.pause(1, answered(status, None), 0.5).is_some(),
                "{status}"
            );
        }
    }

    #[test]
    fn a_short_retry_after_is_waited_out_and_a_long_one_goes_to_the_client() {
        assert_eq!(
            POLICY.pause(1, answered(429, Some(2)), 0.5),
            Some(Duration::from_secs(2))
        );
        assert_eq!(POLICY.pause(1, answered(429, Some(12)), 0.5), None);
        assert_eq!(POLICY.pause(1, answered(429, None), 0.5), None);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_164_640);
        assert_eq!(
            retry_after("Tue, 02 Jan 2024 03:04:05 GMT", now),
            Some(Duration::from_secs(5))
        );
        assert_eq!(retry_after("soon", now), None);
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_the_allowed_retries(done in 3..10u32, jitter in 0.0..1.0f64) {
            prop_assert_eq!(POLICY.pause(done, TryOutcome::Broken, jitter), None);
            prop_assert_eq!(POLICY.pause(done, answered(503, None), jitter), None);
        }
    }
}
