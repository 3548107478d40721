//! What the cache did for one request, in the words of RFC 9211.
//!
//! Owns the outcomes and their one spelling, which the response header, the log line and the metric share.
//! Must not know how an outcome came about.

use std::fmt;

/// How a request was satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// From store, without asking upstream.
    Hit,
    /// From store, just past its freshness, while upstream is asked behind the answer.
    Renewing,
    /// From store, older than its freshness, because upstream failed.
    Stale,
    /// From store, after upstream confirmed the stored page.
    Revalidated,
    /// From store, after upstream let this caller in: the bytes were here, the right was not yet known.
    Asked,
    /// Fetched for this request.
    Miss,
    /// Fetched once for this request and others.
    Joined,
    /// Passed through without touching the store: refusals, uploads, relayed ranges.
    Bypass,
    /// Refused by the operator's rules, whatever upstream has.
    Withheld,
    /// larder's own answer: health, metrics, errors of the request itself.
    Own,
}

impl Outcome {
    const ALL: [Self; 10] = [
        Self::Hit,
        Self::Renewing,
        Self::Stale,
        Self::Revalidated,
        Self::Asked,
        Self::Miss,
        Self::Joined,
        Self::Bypass,
        Self::Withheld,
        Self::Own,
    ];

    /// One word for the log line and the metric.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Renewing => "renewing",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Asked => "asked",
            Self::Miss => "miss",
            Self::Joined => "joined",
            Self::Bypass => "bypass",
            Self::Withheld => "withheld",
            Self::Own => "own",
        }
    }
}

/// The outcome and, where upstream was asked, the status it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    pub outcome: Outcome,
    pub upstream_status: Option<u16>,
}

impl CacheStatus {
    pub const HIT: Self = Self::new(Outcome::Hit);
    pub const OWN: Self = Self::new(Outcome::Own);

    pub const fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            upstream_status: None,
        }
    }

    pub const fn answered(outcome: Outcome, upstream_status: u16) -> Self {
        Self {
            outcome,
            upstream_status: Some(upstream_status),
        }
    }

    /// Reads the value of a `Cache-Status` field that a larder wrote.
    pub fn read(text: &str) -> Option<Self> {
        let (words, status) = match text.split_once(FWD_STATUS) {
            Some((words, status)) => (words, Some(status.parse().ok()?)),
            None => (text, None),
        };
        let outcome = Outcome::ALL
            .into_iter()
            .find(|outcome| Self::new(*outcome).to_string() == words)?;
        Some(Self {
            outcome,
            upstream_status: status,
        })
    }
}

/// Stands before the status that upstream gave.
const FWD_STATUS: &str = "; fwd-status=";

/// The value of the `Cache-Status` field.
impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.outcome {
            Outcome::Hit => "larder; hit",
            Outcome::Renewing => "larder; hit; detail=stale-while-revalidate",
            Outcome::Stale => "larder; hit; detail=upstream-failed",
            Outcome::Revalidated => "larder; fwd=stale",
            Outcome::Asked => "larder; fwd=request; detail=right-asked",
            Outcome::Miss => "larder; fwd=uri-miss",
            Outcome::Joined => "larder; fwd=uri-miss; collapsed",
            Outcome::Bypass => "larder; fwd=bypass",
            Outcome::Withheld => "larder; detail=withheld",
            Outcome::Own => "larder; detail=own",
        })?;
        match self.upstream_status {
            Some(status) => write!(f, "{FWD_STATUS}{status}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_read_back() {
        for outcome in Outcome::ALL {
            for status in [
                CacheStatus::new(outcome),
                CacheStatus::answered(outcome, 304),
            ] {
                assert_eq!(CacheStatus::read(&status.to_string()), Some(status));
            }
        }
        for other in ["", "larder", "squid; hit", "larder; hit; fwd-status=x"] {
            assert_eq!(CacheStatus::read(other), None, "{other}");
        }
    }
}
