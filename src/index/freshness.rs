//! Whether a stored page may be shown without asking, and whether it is time to ask behind the answer.
//!
//! Pure. GitLab says `max-age=0`, so any freshness is larder's own documented choice (RFC 9111 §4.2 leaves explicit
//! configuration to the cache); the two ways of being useful past it are those of RFC 5861, stale-while-revalidate and
//! stale-if-error. Counted from when the request was sent, not from when the answer came. Must not know who asks.
//!
//! ```text
//! asked ──── Fresh ────┬─ Ageing ─┬── Lapsed ──┬────── Stale ──────┬─ Expired
//!                     4/5     lifetime   + while_revalidate     if_error
//! ```

use std::time::{Duration, Instant};

/// The last part of a lifetime, in which a page that is in use is renewed before anybody has to wait for it.
const AGEING_FROM: f64 = 0.8;

/// By how much of itself a lifetime is shortened at most, so that pages asked for together do not lapse together.
const JITTER: f64 = 0.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Freshness {
    Fresh,
    /// Fresh, and soon no more.
    Ageing,
    /// To be shown once more, while it is asked for behind the answer.
    Lapsed,
    /// To be asked for first, and usable if nobody answers.
    Stale,
    /// Not usable unasked, whatever happens upstream.
    Expired,
}

/// How long a page counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub fresh_for: Duration,
    /// After it, for so long and never for longer than it was fresh, a page is shown while it is asked for again.
    pub while_revalidate: Duration,
    /// From the start: how old a page may become that is shown because upstream failed.
    pub if_error: Duration,
}

/// `asked`: when the request that gave or confirmed the page was sent. `written`: when something last changed
/// upstream through this larder; a page asked for before that has to be asked for first. `spread`, in 0..=1, is the
/// page's own share of the jitter.
pub(super) fn freshness(
    asked: Instant,
    now: Instant,
    written: Option<Instant>,
    lifetimes: &Lifetimes,
    spread: f64,
) -> Freshness {
    let age = now.saturating_duration_since(asked);
    let overtaken = written.is_some_and(|written| asked <= written);
    let lifetime = lifetimes.fresh_for.mul_f64(1.0 - JITTER * spread.clamp(0.0, 1.0));
    let lapses = lifetime + lifetimes.while_revalidate.min(lifetimes.fresh_for);
    if overtaken || age >= lapses {
        let usable = age < lifetimes.if_error.max(lifetimes.fresh_for);
        return if usable { Freshness::Stale } else { Freshness::Expired };
    }
    if age >= lifetime {
        Freshness::Lapsed
    } else if age >= lifetime.mul_f64(AGEING_FROM) {
        Freshness::Ageing
    } else {
        Freshness::Fresh
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const LIFETIMES: Lifetimes = Lifetimes {
        fresh_for: Duration::from_secs(30),
        while_revalidate: Duration::from_secs(20),
        if_error: Duration::from_secs(600),
    };

    fn aged(seconds: u64, spread: f64) -> Freshness {
        let asked = clock::now();
        freshness(asked, asked + Duration::from_secs(seconds), None, &LIFETIMES, spread)
    }

    #[test]
    fn a_page_goes_through_its_ages_in_order() {
        let table = [
            (0, Freshness::Fresh),
            (23, Freshness::Fresh),
            (24, Freshness::Ageing),
            (29, Freshness::Ageing),
            (30, Freshness::Lapsed),
            (49, Freshness::Lapsed),
            (50, Freshness::Stale),
            (599, Freshness::Stale),
            (600, Freshness::Expired),
        ];
        for (seconds, expected) in table {
            assert_eq!(aged(seconds, 0.0), expected, "{seconds}");
        }
        assert_eq!(aged(27, 1.0), Freshness::Lapsed);
        assert_eq!(aged(26, 1.0), Freshness::Ageing);
    }

    #[test]
    fn nothing_is_fresh_where_nothing_may_be() {
        let never = Lifetimes { fresh_for: Duration::ZERO, ..LIFETIMES };
        let now = clock::now();
        assert_eq!(freshness(now, now, None, &never, 0.5), Freshness::Stale);
    }

    proptest! {
        #[test]
        fn a_page_only_ever_gets_older(age in 0..1_000u64, more in 0..1_000u64, spread in 0.0..1.0f64) {
            prop_assert!(aged(age, spread) <= aged(age + more, spread));
        }

        #[test]
        fn jitter_only_ever_shortens(age in 0..1_000u64, spread in 0.0..1.0f64) {
            prop_assert!(aged(age, 0.0) <= aged(age, spread));
            prop_assert!(aged(age, spread) <= aged(age, 1.0));
        }

        #[test]
        fn a_page_from_before_an_upload_is_asked_for_first(asked_at in 0..100u64, written_at in 0..100u64, age in 0..24u64) {
            let start = clock::now();
            let second = |n| start + Duration::from_secs(n);
            let page = freshness(second(asked_at), second(asked_at + age), Some(second(written_at)), &LIFETIMES, 0.0);
            prop_assert_eq!(page == Freshness::Fresh, asked_at > written_at);
            prop_assert_eq!(page == Freshness::Stale, asked_at <= written_at);
        }
    }
}
