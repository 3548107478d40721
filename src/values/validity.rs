//! For how long a certificate is good, and what that means at a moment.
//!
//! Pure: dates and `now` in, a judgement out. Must not know where the dates come from, nor who is
//! told.

use std::fmt;
use std::time::{Duration, SystemTime};

/// So long before its end a certificate is worth a word, unless its whole life is short.
const WARN_BEFORE: Duration = Duration::from_hours(14 * 24);

/// Tools that renew certificates do so when a third of their life is left; with less than this part
/// something is amiss.
const LIFE_PARTS: u32 = 4;

/// The dates of a certificate, or of a chain: what is good only while all of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    from: SystemTime,
    until: SystemTime,
    warn_from: SystemTime,
}

/// What the dates mean at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    NotYet { wait: Duration },
    Good { left: Duration },
    EndsSoon { left: Duration },
    Expired { ago: Duration },
}

impl Validity {
    pub fn new(from: SystemTime, until: SystemTime) -> Self {
        let life = until.duration_since(from).unwrap_or_default();
        let warned = WARN_BEFORE.min(life / LIFE_PARTS);
        let warn_from = until.checked_sub(warned).unwrap_or(until);
        Self {
            from,
            until,
            warn_from,
        }
    }

    /// Of two certificates that are of use only together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            until: self.until.min(other.until),
            warn_from: self.warn_from.min(other.warn_from),
        }
    }

    /// When it ends.
    pub fn until(&self) -> SystemTime {
        self.until
    }

    pub fn judge(&self, now: SystemTime) -> Judgement {
        // RFC 5280 §4.1.2.5: both dates belong to it.
        let left = match self.until.duration_since(now) {
            Ok(left) => left,
            Err(past) => {
                let ago = past.duration();
                return Judgement::Expired { ago };
            }
        };
        let wait = self.from.duration_since(now).unwrap_or_default();
        if !wait.is_zero() {
            Judgement::NotYet { wait }
        } else if now >= self.warn_from {
            Judgement::EndsSoon { left }
        } else {
            Judgement::Good { left }
        }
    }
}

impl Judgement {
    /// `good`, `ends_soon`, `expired` or `not_yet`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotYet { .. } => "not_yet",
            Self::Good { .. } => "good",
            Self::EndsSoon { .. } => "ends_soon",
            Self::Expired { .. } => "expired",
        }
    }

    /// For how long clients take it, if they do by now.
    pub fn left(&self) -> Option<Duration> {
        match self {
            Self::NotYet { .. } => None,
            Self::Good { left } | Self::EndsSoon { left } => Some(*left),
            Self::Expired { .. } => Some(Duration::ZERO),
        }
    }

    /// Whether clients take it.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Good { .. } | Self::EndsSoon { .. })
    }
}

/// The end of a sentence that begins with the certificate: `ends in 3 days`.
impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet { wait } => write!(f, "is not valid for another {}", Rough(*wait)),
            Self::Good { left } => write!(f, "is good for {}", Rough(*left)),
            Self::EndsSoon { left } => write!(f, "ends in {}", Rough(*left)),
            Self::Expired { ago } => write!(f, "expired {} ago", Rough(*ago)),
        }
    }
}

/// Days for what lasts that long, else hours and smaller.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 24 * 3600;
        let seconds = self.0.as_secs();
        let rough = match seconds {
            seconds if seconds >= 2 * DAY => return write!(f, "{} days", seconds / DAY),
            seconds if seconds >= 60 => seconds / 60 * 60,
            seconds => seconds,
        };
        humantime::format_duration(Duration::from_secs(rough)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn at(days: u32) -> SystemTime {
        UNIX_EPOCH + days * DAY
    }

    #[test]
    fn a_short_life_is_worth_a_word_later_than_a_long_one() {
        // Days of life, days left, the word.
        for (life, left, word) in [
            (90, 15, "good"),
            (90, 14, "ends_soon"),
            (365, 15, "good"),
            (45, 12, "good"),
            (45, 11, "ends_soon"),
            (8, 3, "good"),
            (8, 2, "ends_soon"),
        ] {
            let validity = Validity::new(at(1000 - life), at(1000));
            assert_eq!(
                validity.judge(at(1000 - left)).word(),
                word,
                "{left} of {life} days"
            );
        }
    }

    #[test]
    fn both_dates_belong_to_it_and_a_chain_is_as_good_as_its_worst() {
        let second = Duration::from_secs(1);
        let validity = Validity::new(at(100), at(465));
        assert_eq!(
            validity.judge(at(100) - second),
            Judgement::NotYet { wait: second }
        );
        assert!(validity.judge(at(100)).holds() && validity.judge(at(465)).holds());
        assert_eq!(
            validity.judge(at(465) + second),
            Judgement::Expired { ago: second }
        );
        let chain = validity.and(Validity::new(at(90), at(400)));
        assert_eq!(
            (chain.from, chain.until, chain.warn_from),
            (at(100), at(400), at(386))
        );
        assert_eq!(chain.judge(at(390)).to_string(), "ends in 10 days");
        assert_eq!(chain.judge(at(399) + second).to_string(), "ends in 23h 59m");
        assert_eq!(chain.judge(at(403)).to_string(), "expired 3 days ago");
    }

    proptest! {
        #[test]
        fn it_comes_ends_soon_and_is_over_in_that_order(
            from in 0..4_000_000_000_u64, life in 0..4_000_000_000_u64, one: u32, two: u32,
        ) {
            let [from, until] = [from, from + life].map(|second| UNIX_EPOCH + Duration::from_secs(second));
            let rank = |now: u32| match Validity::new(from, until).judge(UNIX_EPOCH + Duration::from_secs(now.into())) {
                Judgement::NotYet { .. } => 0,
                Judgement::Good { .. } => 1,
                Judgement::EndsSoon { .. } => 2,
                Judgement::Expired { .. } => 3,
            };
            prop_assert!(rank(one.min(two)) <= rank(one.max(two)));
        }
    }
}
