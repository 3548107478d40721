//! How downloads went, as numbers.
//!
//! Owns the labels: a closed set. Must not know who shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Cause;

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadEnd {
    /// Whole, verified and stored.
    Completed,
    /// Upstream refused it.
    Rejected,
    /// Upstream gave no answer.
    Unanswered,
    /// There was an answer, and the store could not take it.
    Unstorable,
    /// The bytes were not what the address promises.
    Wrong,
    /// Upstream broke off, and could not be resumed.
    Broken,
    /// No client wanted it any more.
    Aborted,
}

impl DownloadEnd {
    const ALL: [Self; 7] = [
        Self::Completed,
        Self::Rejected,
        Self::Unanswered,
        Self::Unstorable,
        Self::Wrong,
        Self::Broken,
        Self::Aborted,
    ];

    pub fn of(cause: Cause) -> Self {
        match cause {
            Cause::WrongDigest | Cause::Coded | Cause::Long => Self::Wrong,
            Cause::Short | Cause::Upstream | Cause::Stalled => Self::Broken,
            Cause::Disk | Cause::Full => Self::Unstorable,
            Cause::Abandoned => Self::Aborted,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Unanswered => "unanswered",
            Self::Unstorable => "unstorable",
            Self::Wrong => "checksum_mismatch",
            Self::Broken => "broken",
            Self::Aborted => "aborted",
        }
    }
}

/// Outlives the services of one configuration, as downloads do.
#[derive(Debug, Default)]
pub struct DownloadCounts {
    joined: AtomicU64,
    ended: [AtomicU64; DownloadEnd::ALL.len()],
    wrong_bodies: AtomicU64,
}

impl DownloadCounts {
    pub fn joined(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ended(&self, how: DownloadEnd) {
        for (known, count) in DownloadEnd::ALL.iter().zip(&self.ended) {
            if *known == how {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A body was not what its address promises.
    pub fn wrong_body(&self) {
        self.wrong_bodies.fetch_add(1, Ordering::Relaxed);
    }

    pub fn wrong_bodies(&self) -> u64 {
        self.wrong_bodies.load(Ordering::Relaxed)
    }

    pub fn readers_joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    /// Each label, and how often it was so.
    pub fn endings(&self) -> Vec<(&'static str, u64)> {
        let counted = DownloadEnd::ALL.iter().zip(&self.ended);
        counted
            .map(|(how, count)| (how.label(), count.load(Ordering::Relaxed)))
            .collect()
    }
}
