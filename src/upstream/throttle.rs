//! Callers whom a peer told to come back later, and who get its answer again until then without
//! asking.
//!
//! GitLab throttles by user, and by address for those without a credential, which from here is one
//! caller too; so what is remembered of one caller holds no other back. A peer that is asked with a
//! credential of larder's own knows one caller only: the anonymous one. Bounded in number, and in
//! time by [`BACK_OFF_MAX`], after which the peer is asked again whatever it had said. Must not
//! know what was asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::header::RETRY_AFTER;
use moka::sync::Cache;

use super::error::UpstreamError;
use super::response::PassThrough;
use crate::access::Fingerprint;

/// The longest a caller is answered without asking.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// Callers remembered; the least recently seen are forgotten, which costs the peer a request.
const CALLERS_MAX: u64 = 4096;

/// What a peer said, as it goes to the caller.
pub(super) type ThrottledAnswer = Result<PassThrough, UpstreamError>;

#[derive(Clone, Debug)]
struct BackOff {
    /// Until when the peer is not asked.
    until: Instant,
    /// When the peer said to come back, if it said so in seconds: a date runs down by itself.
    again: Option<Instant>,
    answer: ThrottledAnswer,
}

impl BackOff {
    fn new(answer: ThrottledAnswer, wait: Duration, now: Instant) -> Self {
        let again = match &answer {
            Ok(pass_through) if is_in_seconds(pass_through) => now.checked_add(wait),
            _ => None,
        };
        Self {
            until: now + wait.min(BACK_OFF_MAX),
            again,
            answer,
        }
    }

    /// The peer's answer with what is left of the wait.
    fn answer(&self, now: Instant) -> Option<ThrottledAnswer> {
        if now >= self.until {
            return None;
        }
        let mut answer = self.answer.clone();
        if let (Ok(pass_through), Some(again)) = (&mut answer, self.again) {
            let left = again
                .saturating_duration_since(now)
                .as_millis()
                .div_ceil(1000);
            pass_through.headers.insert(
                RETRY_AFTER,
                HeaderValue::from(u64::try_from(left).unwrap_or(u64::MAX)),
            );
        }
        Some(answer)
    }
}

/// Whether it says in seconds, not with a date, when to come back.
fn is_in_seconds(answer: &PassThrough) -> bool {
    match answer.headers.get(RETRY_AFTER) {
        Some(value) => value.as_bytes().iter().all(u8::is_ascii_digit),
        None => false,
    }
}

pub(super) struct Throttles(Cache<Option<Fingerprint>, Arc<BackOff>>);

impl Throttles {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CALLERS_MAX)
                .time_to_live(BACK_OFF_MAX)
                .build(),
        )
    }

    /// The peer said to this caller to wait for so long.
    pub(super) fn hold(
        &self,
        who: Option<Fingerprint>,
        answer: &ThrottledAnswer,
        wait: Duration,
        now: Instant,
    ) {
        self.0
            .insert(who, Arc::new(BackOff::new(answer.clone(), wait, now)));
    }

    /// What this caller gets without asking, if it was told to wait and has not.
    pub(super) fn answer(&self, who: Option<Fingerprint>, now: Instant) -> Option<ThrottledAnswer> {
        self.0.get(&who)?.answer(now)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::access::{Credential, FingerprintKey};
    use crate::values::clock;

    fn throttled() -> ThrottledAnswer {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("12"));
        headers.insert("ratelimit-remaining", HeaderValue::from_static("0"));
        Ok(PassThrough {
            status: StatusCode::TOO_MANY_REQUESTS,
            reason: None,
            headers,
            body: bytes::Bytes::from_static(b"Retry later"),
        })
    }

    fn left(answer: &ThrottledAnswer) -> Option<u64> {
        answer
            .as_ref()
            .ok()?
            .headers
            .get(RETRY_AFTER)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }

    proptest! {
        #[test]
        fn the_wait_runs_down_and_ends(wait in 1..600u64, passed in 0..700_000u64) {
            let now = clock::now();
            let rest = BackOff::new(throttled(), Duration::from_secs(wait), now);
            let told = rest.answer(now + Duration::from_millis(passed));
            prop_assert_eq!(told.is_some(), passed < 1000 * wait.min(BACK_OFF_MAX.as_secs()));
            if let Some(answer) = told {
                prop_assert_eq!(left(&answer), Some((1000 * wait - passed).div_ceil(1000)));
                prop_assert!(answer.is_ok_and(|answer| answer.headers["ratelimit-remaining"] == "0"));
            }
        }
    }

    #[test]
    fn one_callers_wait_holds_no_other_back() {
        let throttles = Throttles::new();
        let now = clock::now();
        let key = FingerprintKey::random();
        let [ann, bob] =
            [&b"ann"[..], b"bob"].map(|token| Some(key.fingerprint(&Credential::service(token))));
        throttles.hold(ann, &throttled(), Duration::from_secs(12), now);
        assert!(throttles.answer(ann, now).is_some());
        assert!(throttles.answer(bob, now).is_none() && throttles.answer(None, now).is_none());
        assert!(
            throttles
                .answer(ann, now + Duration::from_secs(12))
                .is_none()
        );
    }

    #[test]
    fn a_date_is_told_as_it_came() {
        let now = clock::now();
        let date = HeaderValue::from_static("Fri, 02 Jan 2099 03:04:05 GMT");
        let mut answer = throttled();
        answer
            .iter_mut()
            .for_each(|answer| drop(answer.headers.insert(RETRY_AFTER, date.clone())));
        let told = BackOff::new(answer, Duration::from_secs(600), now)
            .answer(now + Duration::from_secs(5));
        assert!(
            told.is_some_and(
                |answer| answer.is_ok_and(|answer| answer.headers[RETRY_AFTER] == date)
            )
        );
    }

    #[test]
    fn a_wait_without_end_is_asked_about_again_too() {
        let now = clock::now();
        let rest = BackOff::new(throttled(), Duration::MAX, now);
        assert_eq!(rest.answer(now).as_ref().and_then(left), Some(12));
        assert!(rest.answer(now + BACK_OFF_MAX).is_none());
    }
}
