//! Whether a file has been public for long enough: the minimum age of its source.
//!
//! Pure. A minimum age is a security control, so that an upload time that is missing, unreadable or
//! in the future counts as too young, unless `undated` says otherwise. The time is the index's own
//! statement (PEP 700 `upload-time`); nothing signs it. Must not know pages.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{AgeSince, PolicyReason};

/// What becomes of a file whose upload date is not known, where there is a minimum age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undated {
    /// It counts as too young.
    #[default]
    Hide,
    /// It counts as old enough.
    Show,
    /// It is as old as the day on which a page of larder's first listed it.
    FirstSeen,
}

impl Undated {
    pub fn word(self) -> &'static str {
        match self {
            Self::Hide => "hide",
            Self::Show => "show",
            Self::FirstSeen => "first-seen",
        }
    }
}

/// What a source's configuration says of the age of its files.
#[derive(Clone, Debug, Default)]
pub struct AgeRule {
    /// None if it is zero.
    pub min_age: Duration,
    pub undated: Undated,
    /// The section that says so: `gitlab`, or `mirrors.NAME`.
    pub section: Arc<str>,
}

impl AgeRule {
    pub fn is_set(&self) -> bool {
        !self.min_age.is_zero()
    }

    /// Whether files without a date are as old as they were first seen.
    pub fn counts_first_seen(&self) -> bool {
        self.is_set() && self.undated == Undated::FirstSeen
    }

    /// Why a file is refused that was uploaded and first seen at these times, as far as they are
    /// known.
    pub fn refuse(
        &self,
        uploaded: Option<SystemTime>,
        first_seen: Option<SystemTime>,
        now: SystemTime,
    ) -> Option<PolicyReason> {
        if !self.is_set() {
            return None;
        }
        let since = match (uploaded, self.undated, first_seen) {
            (Some(uploaded), _, _) => AgeSince::Uploaded(uploaded),
            (None, Undated::Show, _) => return None,
            (None, Undated::FirstSeen, Some(seen)) => AgeSince::FirstSeen(seen),
            (None, Undated::Hide | Undated::FirstSeen, _) => AgeSince::Unknown,
        };
        let until = match since {
            AgeSince::Uploaded(from) | AgeSince::FirstSeen(from) => from.checked_add(self.min_age),
            AgeSince::Unknown => None,
        };
        let section = Arc::clone(&self.section);
        match until {
            Some(until) if now < until => Some(PolicyReason::TooYoung {
                section,
                since,
                until,
            }),
            Some(_) => None,
            // A time that nothing can be added to lies beyond all calendars.
            None => Some(PolicyReason::Undated { section }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn rule(min_age: Duration) -> AgeRule {
        AgeRule {
            min_age,
            undated: Undated::Hide,
            section: "gitlab".into(),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn without_a_minimum_age_nothing_is_refused() {
        assert_eq!(rule(Duration::ZERO).refuse(None, None, at(0)), None);
        assert_eq!(rule(Duration::ZERO).refuse(Some(at(9)), None, at(0)), None);
    }

    #[test]
    fn what_has_no_date_is_too_young() {
        let reason = rule(WEEK).refuse(None, None, at(u64::from(u32::MAX)));
        assert_eq!(reason.map(|reason| reason.label()), Some("undated"));
    }

    #[test]
    fn a_file_without_a_date_follows_the_rule_and_one_with_a_date_never_does() {
        let day = at(1_000_000_000);
        let later = day + WEEK;
        for (undated, first_seen, now, expected) in [
            (Undated::Hide, None, later, Some("undated")),
            (Undated::Hide, Some(day), later, Some("undated")),
            (Undated::Show, None, day, None),
            (Undated::FirstSeen, None, later, Some("undated")),
            (Undated::FirstSeen, Some(day), day, Some("min_age")),
            (Undated::FirstSeen, Some(day), later, None),
        ] {
            let rule = AgeRule {
                undated,
                ..rule(WEEK)
            };
            let label = |reason: PolicyReason| reason.label();
            let told = rule.refuse(None, first_seen, now).map(label);
            assert_eq!(told, expected, "{undated:?} {first_seen:?}");
            let young = rule.refuse(Some(now), first_seen, now).map(label);
            assert_eq!(young, Some("min_age"), "{undated:?} {first_seen:?}");
        }
    }

    proptest! {
        #[test]
        fn a_file_ripens_once_and_for_good(uploaded in 0..2_000_000_000u64, now in 0..2_000_000_000u64, more in 0..9_000_000u64) {
            let rule = rule(WEEK);
            let is_ripe = rule.refuse(Some(at(uploaded)), None, at(now)).is_none();
            prop_assert_eq!(is_ripe, now >= uploaded + WEEK.as_secs());
            prop_assert!(!is_ripe || rule.refuse(Some(at(uploaded)), None, at(now + more)).is_none());
        }
    }
}
