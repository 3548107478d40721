//! Whether a stored page may be shown without asking.
//!
//! Pure. GitLab says `max-age=0`, so any freshness is larder's own documented choice (RFC 9111 §4.2 leaves explicit
//! configuration to the cache). Counted from when the request was sent, not from when the answer came. Must not know
//! who asks.

use std::time::Instant;

use super::config::IndexConfig;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    /// To be asked again, and usable if nobody answers.
    Stale,
    /// Not usable unasked, whatever happens upstream.
    Expired,
}

/// `asked`: when the request that gave or confirmed the page was sent. `written`: when something last changed
/// upstream through this larder; a page asked for before that is not fresh.
pub(super) fn freshness(
    asked: Instant,
    now: Instant,
    written: Option<Instant>,
    config: &IndexConfig,
) -> Freshness {
    let age = now.saturating_duration_since(asked);
    let overtaken = written.is_some_and(|written| asked <= written);
    if age < config.fresh_for.0 && !overtaken {
        Freshness::Fresh
    } else if age < config.stale_for.0.max(config.fresh_for.0) {
        Freshness::Stale
    } else {
        Freshness::Expired
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    proptest! {
        #[test]
        fn a_page_only_ever_gets_older(age in 0..2_000_000u64, more in 0..2_000_000u64) {
            let asked = clock::now();
            let config = IndexConfig::default();
            let at = |seconds| freshness(asked, asked + Duration::from_secs(seconds), None, &config);
            let rank = |freshness| match freshness { Freshness::Fresh => 0, Freshness::Stale => 1, Freshness::Expired => 2 };
            prop_assert!(rank(at(age)) <= rank(at(age + more)));
            prop_assert_eq!(at(age) == Freshness::Fresh, age < 30);
        }

        #[test]
        fn a_page_from_before_an_upload_is_never_fresh(asked_at in 0..100u64, written_at in 0..100u64, age in 0..30u64) {
            let start = clock::now();
            let second = |n| start + Duration::from_secs(n);
            let page = freshness(second(asked_at), second(asked_at + age), Some(second(written_at)), &IndexConfig::default());
            prop_assert_eq!(page == Freshness::Fresh, asked_at > written_at);
        }
    }
}
