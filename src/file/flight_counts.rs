//! How downloads went, as numbers.
//!
//! Owns the words: a closed set. Must not know who shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Cause;

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Whole, verified and stored.
    Landed,
    /// Upstream refused it.
    Refused,
    /// Upstream gave no answer.
    Unanswered,
    /// There was an answer, and the store could not take it.
    Unstorable,
    /// The bytes were not what the address promises.
    Wrong,
    /// Upstream broke off, and could not be resumed.
    Broken,
    /// Nobody wanted it any more.
    Abandoned,
}

impl Ended {
    const ALL: [Self; 7] = [
        Self::Landed,
        Self::Refused,
        Self::Unanswered,
        Self::Unstorable,
        Self::Wrong,
        Self::Broken,
        Self::Abandoned,
    ];

    pub(super) fn of(cause: Cause) -> Self {
        match cause {
            Cause::WrongDigest | Cause::Coded | Cause::Long => Self::Wrong,
            Cause::Short | Cause::Upstream | Cause::Stalled => Self::Broken,
            Cause::Disk | Cause::Full => Self::Unstorable,
            Cause::Abandoned => Self::Abandoned,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Landed => "completed",
            Self::Refused => "rejected",
            Self::Unanswered => "unanswered",
            Self::Unstorable => "unstorable",
            Self::Wrong => "checksum_mismatch",
            Self::Broken => "broken",
            Self::Abandoned => "aborted",
        }
    }
}

/// Goes on for as long as somebody counts with it.
#[derive(Debug, Default)]
pub struct FlightCounts {
    joined: AtomicU64,
    ended: [AtomicU64; Ended::ALL.len()],
    wrong_bodies: AtomicU64,
}

impl FlightCounts {
    pub(super) fn joined(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, how: Ended) {
        let place = Ended::ALL
            .iter()
            .position(|known| *known == how)
            .unwrap_or_default();
        if let Some(count) = self.ended.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A body was not what its address promises.
    pub(super) fn wrong_body(&self) {
        self.wrong_bodies.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn wrong_bodies(&self) -> u64 {
        self.wrong_bodies.load(Ordering::Relaxed)
    }

    pub(super) fn readers_joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    /// Each word, and how often it was so.
    pub(super) fn endings(&self) -> Vec<(&'static str, u64)> {
        let counted = Ended::ALL.iter().zip(&self.ended);
        counted
            .map(|(how, count)| (how.word(), count.load(Ordering::Relaxed)))
            .collect()
    }
}
