//! Whether a file has been public for long enough: a mirror's `min_age`.
//!
//! Pure. A cooldown is a security control, so that an upload time that is missing, unreadable or in the future counts as
//! too young. The time is the index's own word (PEP 700 `upload-time`); nothing signs it. Must not know pages.

use std::time::{Duration, SystemTime};

/// Why a file is left out and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withheld {
    /// From then on it may be had.
    Until(SystemTime),
    /// Nobody knows how old it is.
    Undated,
}

pub(super) fn withheld(
    uploaded: Option<SystemTime>,
    min_age: Duration,
    now: SystemTime,
) -> Option<Withheld> {
    if min_age.is_zero() {
        return None;
    }
    match uploaded.map(|uploaded| uploaded.checked_add(min_age)) {
        Some(Some(ripe)) => (now < ripe).then_some(Withheld::Until(ripe)),
        // A time that nothing can be added to lies beyond all calendars.
        Some(None) | None => Some(Withheld::Undated),
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
    fn without_a_cooldown_nothing_is_withheld() {
        assert_eq!(withheld(None, Duration::ZERO, at(0)), None);
        assert_eq!(withheld(Some(at(9)), Duration::ZERO, at(0)), None);
    }

    #[test]
    fn what_has_no_date_is_too_young() {
        assert_eq!(
            withheld(None, WEEK, at(u64::from(u32::MAX))),
            Some(Withheld::Undated)
        );
    }

    proptest! {
        #[test]
        fn a_file_ripens_once_and_for_good(uploaded in 0..2_000_000_000u64, now in 0..2_000_000_000u64, more in 0..9_000_000u64) {
            let ripe = withheld(Some(at(uploaded)), WEEK, at(now)).is_none();
            prop_assert_eq!(ripe, now >= uploaded + WEEK.as_secs());
            prop_assert!(!ripe || withheld(Some(at(uploaded)), WEEK, at(now + more)).is_none());
        }
    }
}
