//! What the cache did for one request, in the words of RFC 9211.
//!
//! Owns the outcomes and their one spelling, which the response header, the log line and the metric
//! share. Must not know how an outcome came about.

use std::fmt;

/// How a request was satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// From the store, without asking upstream.
    Hit,
    /// From the store, just past its lifetime, while it is fetched again (stale-while-revalidate,
    /// RFC 5861 §3).
    Updating,
    /// From the store, past its lifetime, because upstream failed (stale-if-error, RFC 5861 §4).
    Stale,
    /// From the store, after upstream confirmed the stored page.
    Revalidated,
    /// From the store, after upstream let this caller in: the bytes were here, the right was not
    /// yet known.
    Authorized,
    /// Fetched for this request.
    Miss,
    /// Fetched once for this request and others.
    Collapsed,
    /// Passed through without touching the store: upstream's refusals, uploads, relayed ranges.
    Bypass,
    /// larder's own 5xx: upstream or the store failed, and nothing stored could stand in.
    Error,
    /// Refused by the operator's rules, whatever upstream has.
    Denied,
    /// An endpoint of larder's own, or a request that larder itself refused.
    Internal,
}

impl Outcome {
    pub const ALL: [Self; 11] = [
        Self::Hit,
        Self::Updating,
        Self::Stale,
        Self::Revalidated,
        Self::Authorized,
        Self::Miss,
        Self::Collapsed,
        Self::Bypass,
        Self::Error,
        Self::Denied,
        Self::Internal,
    ];

    /// One word for the log line and the metric.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Updating => "updating",
            Self::Stale => "stale",
            Self::Revalidated | Self::Authorized => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Bypass => "bypass",
            Self::Error => "error",
            Self::Denied => "denied",
            Self::Internal => "internal",
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
    pub const INTERNAL: Self = Self::new(Outcome::Internal);

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
        let (words, upstream_status) = match text.split_once(FWD_STATUS) {
            Some((words, status)) => (words, Some(status.parse().ok()?)),
            None => (text, None),
        };
        for outcome in Outcome::ALL {
            if Self::new(outcome).to_string() == words {
                return Some(Self {
                    outcome,
                    upstream_status,
                });
            }
        }
        None
    }
}

/// Stands before the status that upstream gave.
const FWD_STATUS: &str = "; fwd-status=";

/// The value of the `Cache-Status` field.
impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.outcome {
            Outcome::Hit => "larder; hit",
            Outcome::Updating => "larder; hit; detail=updating",
            Outcome::Stale => "larder; hit; detail=stale",
            Outcome::Revalidated => "larder; fwd=stale",
            Outcome::Authorized => "larder; fwd=request; detail=auth",
            Outcome::Miss => "larder; fwd=uri-miss",
            Outcome::Collapsed => "larder; fwd=uri-miss; collapsed",
            Outcome::Bypass => "larder; fwd=bypass",
            Outcome::Error => "larder; detail=error",
            Outcome::Denied => "larder; detail=denied",
            Outcome::Internal => "larder; detail=internal",
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
