//! What becomes of a page that is here: shown, asked for first, shown although upstream failed, or
//! ended.
//!
//! Pure, and the one place where that is decided, whosever page it is: GitLab's, a mirror's, a
//! mirror's in GitLab's place, a page too large to keep of which only the files are known, GitLab's
//! answer that it has no such package. GitLab says `max-age=0`, so any freshness is larder's own
//! documented choice (RFC 9111 §4.2 leaves explicit configuration to the cache); the two ways of
//! being useful past it are those of RFC 5861, stale-while-revalidate and stale-if-error. All are
//! counted from upstream's last confirmation, which is when the request was sent that gave or
//! confirmed the page, not when the answer came. Must not know who asks.
//!
//! ```text
//! asked ──── Show ─────┬── Show ──┬─ ShowAndAsk ─┬────── Ask ──────────────────      Unasked
//!                   4/5 due    lifetime   + while_revalidate
//! asked ─────────────────── ShowStale ─────────────────┬── Nothing       Failed
//!                                                   if_error
//! ```

use std::time::Duration;

use http::StatusCode;

/// The last part of a lifetime, in which a page that is in use is renewed before a client has to
/// wait for it.
const AGEING_FROM: f64 = 0.8;

/// By how much of itself a lifetime is shortened at most, so that pages asked for together do not
/// lapse together.
const JITTER: f64 = 0.1;

/// Whose page it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamKind {
    /// GitLab answers each caller for itself: what it says to one ends nothing for another.
    GitLab,
    /// Answers all callers alike.
    Mirror,
}

/// What upstream says of a page, other than that it stands: that makes it as old as the question,
/// and who waited gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamVerdict {
    /// No request has asked yet.
    Unasked,
    /// It is not to be had (any more).
    Ended,
    /// Nothing that could be used: no answer, an error of its own, a pause, or larder's own
    /// trouble.
    Failed,
}

impl UpstreamVerdict {
    /// What a refusal says. 404 and 410: there is none; 403 and 451: not to be had, as a curating
    /// index says of what it took back; 401, where larder showed no credential: not for every
    /// caller, and larder asks for all of them.
    pub fn of_refusal(status: StatusCode) -> Self {
        match status.as_u16() {
            401 | 403 | 404 | 410 | 451 => Self::Ended,
            _ => Self::Failed,
        }
    }
}

/// What is known of a page without asking.
#[derive(Clone, Copy, Debug)]
pub struct PageAge {
    /// Since upstream last confirmed it; `None` if the clock went back behind that, so that it
    /// cannot be told.
    pub age: Option<Duration>,
    /// Something is known to have changed upstream since.
    pub overtaken: bool,
    /// In 0..=1: the page's own share of the jitter.
    pub spread: f64,
}

/// How long a page counts.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    pub ttl: Duration,
    /// After it, for so long and never for longer than it was fresh, a page is shown while it is
    /// asked for again.
    pub while_revalidate: Duration,
    /// From the start: how old a page may become that is shown because upstream failed.
    pub if_error: Duration,
}

/// What becomes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// `due`: soon no more, and worth renewing if it is in use.
    Show { due: bool },
    /// Once more, while it is asked for behind the answer.
    ShowAndAsk,
    /// Not before upstream was asked.
    Ask,
    /// In place of an answer that upstream did not give, with its age.
    ShowStale,
    /// Not at all, though upstream did not say that it is over: the failure is what is told.
    Nothing,
    /// Never again, to any caller.
    End,
    /// Never again to the caller that was told; GitLab decides about each other one.
    EndForCaller,
}

impl Use {
    /// Whether upstream need not be asked.
    pub fn is_shown_unasked(self) -> bool {
        matches!(self, Self::Show { .. } | Self::ShowAndAsk)
    }
}

pub fn decide(
    source: UpstreamKind,
    known: PageAge,
    verdict: UpstreamVerdict,
    lifetimes: &Lifetimes,
) -> Use {
    match verdict {
        UpstreamVerdict::Ended if source == UpstreamKind::Mirror => Use::End,
        UpstreamVerdict::Ended => Use::EndForCaller,
        UpstreamVerdict::Failed => {
            let usable = known.age.is_some_and(|age| age < lifetimes.if_error);
            if usable { Use::ShowStale } else { Use::Nothing }
        }
        UpstreamVerdict::Unasked => unasked(known, lifetimes),
    }
}

fn unasked(known: PageAge, lifetimes: &Lifetimes) -> Use {
    let Some(age) = known.age else {
        return Use::Ask;
    };
    if known.overtaken {
        return Use::Ask;
    }
    let lifetime = lifetimes
        .ttl
        .mul_f64(1.0 - JITTER * known.spread.clamp(0.0, 1.0));
    if age >= lifetime + lifetimes.while_revalidate.min(lifetimes.ttl) {
        Use::Ask
    } else if age >= lifetime {
        Use::ShowAndAsk
    } else {
        Use::Show {
            due: age >= lifetime.mul_f64(AGEING_FROM),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes {
        ttl: Duration::from_secs(30),
        while_revalidate: Duration::from_secs(20),
        if_error: Duration::from_secs(600),
    };

    const SOURCES: [UpstreamKind; 2] = [UpstreamKind::GitLab, UpstreamKind::Mirror];

    fn aged(seconds: u64) -> PageAge {
        PageAge {
            age: Some(Duration::from_secs(seconds)),
            overtaken: false,
            spread: 0.0,
        }
    }

    fn overtaken(seconds: u64) -> PageAge {
        PageAge {
            overtaken: true,
            ..aged(seconds)
        }
    }

    const FROM_THE_FUTURE: PageAge = PageAge {
        age: None,
        overtaken: false,
        spread: 0.0,
    };

    /// source × state × upstream's word × time.
    #[test]
    fn every_source_goes_by_one_table() {
        const SHOW: Use = Use::Show { due: false };
        const DUE: Use = Use::Show { due: true };
        // What is known, unasked, and when upstream failed.
        let table = [
            (aged(0), SHOW, Use::ShowStale),
            (aged(23), SHOW, Use::ShowStale),
            (aged(24), DUE, Use::ShowStale),
            (aged(29), DUE, Use::ShowStale),
            (aged(30), Use::ShowAndAsk, Use::ShowStale),
            (aged(49), Use::ShowAndAsk, Use::ShowStale),
            (aged(50), Use::Ask, Use::ShowStale),
            (aged(599), Use::Ask, Use::ShowStale),
            (aged(600), Use::Ask, Use::Nothing),
            (aged(10 * 365 * 24 * 3600), Use::Ask, Use::Nothing),
            (overtaken(0), Use::Ask, Use::ShowStale),
            (overtaken(599), Use::Ask, Use::ShowStale),
            (overtaken(600), Use::Ask, Use::Nothing),
            (FROM_THE_FUTURE, Use::Ask, Use::Nothing),
        ];
        for source in SOURCES {
            let end = if source == UpstreamKind::Mirror {
                Use::End
            } else {
                Use::EndForCaller
            };
            for (known, unasked, failed) in table {
                let words = [
                    (UpstreamVerdict::Unasked, unasked),
                    (UpstreamVerdict::Failed, failed),
                    (UpstreamVerdict::Ended, end),
                ];
                for (word, expected) in words {
                    assert_eq!(
                        decide(source, known, word, &LIFETIMES),
                        expected,
                        "{source:?} {known:?} {word:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn limits_of_zero_are_limits() {
        let word = |known, word, lifetimes: &Lifetimes| {
            decide(UpstreamKind::Mirror, known, word, lifetimes)
        };
        let never = Lifetimes {
            ttl: Duration::ZERO,
            ..LIFETIMES
        };
        assert_eq!(
            word(aged(0), UpstreamVerdict::Unasked, &never),
            Use::Ask,
            "never for longer than it was fresh"
        );
        let at_once = Lifetimes {
            while_revalidate: Duration::ZERO,
            ..LIFETIMES
        };
        assert_eq!(word(aged(30), UpstreamVerdict::Unasked, &at_once), Use::Ask);
        let strict = Lifetimes {
            if_error: Duration::ZERO,
            ..LIFETIMES
        };
        assert_eq!(
            word(aged(0), UpstreamVerdict::Failed, &strict),
            Use::Nothing
        );
        // Also where a page is fresh for longer than it may stand in for a failure.
        let short = Lifetimes {
            if_error: Duration::from_secs(3),
            ..LIFETIMES
        };
        assert_eq!(word(aged(4), UpstreamVerdict::Failed, &short), Use::Nothing);
        assert_eq!(
            word(aged(4), UpstreamVerdict::Unasked, &short),
            Use::Show { due: false }
        );
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_failure_is_none() {
        for status in (300..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
            let ends = matches!(status.as_u16(), 401 | 403 | 404 | 410 | 451);
            assert_eq!(
                UpstreamVerdict::of_refusal(status) == UpstreamVerdict::Ended,
                ends,
                "{status}"
            );
        }
    }

    fn rank(decided: Use) -> u8 {
        match decided {
            Use::Show { due } => u8::from(due),
            Use::ShowAndAsk => 2,
            Use::Ask => 3,
            Use::ShowStale => 4,
            Use::Nothing => 5,
            Use::End | Use::EndForCaller => 6,
        }
    }

    fn at(age: u64, spread: f64, word: UpstreamVerdict) -> u8 {
        rank(decide(
            UpstreamKind::Mirror,
            PageAge {
                spread,
                ..aged(age)
            },
            word,
            &LIFETIMES,
        ))
    }

    proptest! {
        #[test]
        fn a_page_only_ever_gets_older(age in 0..1_000u64, more in 0..1_000u64, spread in 0.0..1.0f64) {
            for word in [UpstreamVerdict::Unasked, UpstreamVerdict::Failed] {
                prop_assert!(at(age, spread, word) <= at(age + more, spread, word));
            }
        }

        #[test]
        fn jitter_only_ever_shortens(age in 0..1_000u64, spread in 0.0..1.0f64) {
            prop_assert!(at(age, 0.0, UpstreamVerdict::Unasked) <= at(age, spread, UpstreamVerdict::Unasked));
            prop_assert!(at(age, spread, UpstreamVerdict::Unasked) <= at(age, 1.0, UpstreamVerdict::Unasked));
        }
    }
}
