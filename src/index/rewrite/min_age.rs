//! Whether a file has been public for long enough: a mirror's `min_age`.
//!
//! Pure. A minimum age is a security control, so that an upload time that is missing, unreadable or
//! in the future counts as too young. The time is the index's own statement (PEP 700
//! `upload-time`); nothing signs it. Must not know pages.

use std::time::{Duration, SystemTime};

/// Why a file is left out and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// From then on it may be had.
    Until(SystemTime),
    /// It is not known how old it is.
    Undated,
}

pub fn held_back(
    uploaded: Option<SystemTime>,
    min_age: Duration,
    now: SystemTime,
) -> Option<HeldBack> {
    if min_age.is_zero() {
        return None;
    }
    match uploaded.map(|uploaded| uploaded.checked_add(min_age)) {
        Some(Some(until)) if now < until => Some(HeldBack::Until(until)),
        Some(Some(_)) => None,
        // A time that nothing can be added to lies beyond all calendars.
        Some(None) | None => Some(HeldBack::Undated),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn without_a_minimum_age_nothing_is_held_back() {
        assert_eq!(held_back(None, Duration::ZERO, at(0)), None);
        assert_eq!(held_back(Some(at(9)), Duration::ZERO, at(0)), None);
    }

    #[test]
    fn what_has_no_date_is_too_young() {
        assert_eq!(
            held_back(None, WEEK, at(u64::from(u32::MAX))),
            Some(HeldBack::Undated)
        );
    }

    proptest! {
        #[test]
        fn a_file_ripens_once_and_for_good(uploaded in 0..2_000_000_000u64, now in 0..2_000_000_000u64, more in 0..9_000_000u64) {
            let until = held_back(Some(at(uploaded)), WEEK, at(now)).is_none();
            prop_assert_eq!(until, now >= uploaded + WEEK.as_secs());
            prop_assert!(!until || held_back(Some(at(uploaded)), WEEK, at(now + more)).is_none());
        }
    }
}
