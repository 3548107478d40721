//! Why a policy refuses a file: its word in logs and metrics, and its sentence for people.
//!
//! Must not know how it was found out.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::registry::{KnownBad, Severity};
use crate::simple::ProjectStatus;

/// From when a file's age counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeSince {
    Uploaded(SystemTime),
    FirstSeen(SystemTime),
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyReason {
    /// By the minimum age in this section; from then on it may be had.
    TooYoung {
        section: Arc<str>,
        since: AgeSince,
        until: SystemTime,
    },
    /// There is a minimum age in this section, and it is not known how old the file is.
    Undated { section: Arc<str> },
    /// By the record of this id.
    Malware { id: Arc<str> },
    /// By the record of this id, and by `policy.vulnerable`.
    Vulnerable { id: Arc<str>, severity: Severity },
    /// By its index's own word of the project (PEP 792), with the reason that it states.
    Quarantined { reason: Option<Arc<str>> },
}

impl PolicyReason {
    /// Every label, for those who count by it.
    pub const LABELS: [&'static str; 5] =
        ["min_age", "undated", "malware", "vulnerable", "quarantined"];

    pub(super) fn quarantined(status: &ProjectStatus) -> Self {
        Self::Quarantined {
            reason: status.reason_line().map(Arc::from),
        }
    }

    pub(super) fn known(known: KnownBad) -> Self {
        match known.severity {
            None => Self::Malware { id: known.id },
            Some(severity) => Self::Vulnerable {
                id: known.id,
                severity,
            },
        }
    }

    /// One of a closed set of words, as logs and metrics have it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooYoung { .. } => "min_age",
            Self::Undated { .. } => "undated",
            Self::Malware { .. } => "malware",
            Self::Vulnerable { .. } => "vulnerable",
            Self::Quarantined { .. } => "quarantined",
        }
    }

    /// The kind of refusal, without a word about the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooYoung { .. } => "a file younger than its source's min_age",
            Self::Undated { .. } => "a file whose upload date is not known, where min_age is set",
            Self::Malware { .. } => "a file that is known to be malware (policy.advisories)",
            Self::Vulnerable { .. } => "a file with a known vulnerability (policy.vulnerable)",
            Self::Quarantined { .. } => "a file of a project that its index has quarantined",
        }
    }

    /// When it ends by itself.
    pub fn ends(&self) -> Option<SystemTime> {
        match self {
            Self::TooYoung { until, .. } => Some(*until),
            // When the records change, pages are made again; what an index says of a project
            // changes with its page.
            Self::Undated { .. }
            | Self::Malware { .. }
            | Self::Vulnerable { .. }
            | Self::Quarantined { .. } => None,
        }
    }
}

/// A refusal at some moment, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRefusal {
    pub reason: PolicyReason,
    pub now: SystemTime,
}

impl fmt::Display for PolicyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            PolicyReason::TooYoung {
                section,
                since,
                until,
            } => {
                let wait = until.duration_since(self.now).unwrap_or_default();
                let wait = humantime::format_duration(Duration::from_secs(wait.as_secs() + 1));
                let of = match since {
                    AgeSince::FirstSeen(_) => ", counted from when it was first seen here",
                    AgeSince::Uploaded(_) | AgeSince::Unknown => "",
                };
                write!(
                    f,
                    "this file is younger than {section}.min_age{of}: it is available in {wait}"
                )
            }
            PolicyReason::Undated { section } => write!(
                f,
                "its index does not say when this file was uploaded, and {section}.min_age is set: \
                 it counts as too young ({section}.undated)"
            ),
            PolicyReason::Malware { id } => write!(
                f,
                "{id}: this file is known to be malware (policy.advisories): do not install it, and \
                 ask the operator of larder if you have it already"
            ),
            PolicyReason::Vulnerable { id, severity } => write!(
                f,
                "{id}: this file has a known vulnerability of severity {severity}, and \
                 policy.vulnerable is \"refuse\": take a version in which it is fixed"
            ),
            PolicyReason::Quarantined { reason } => {
                let stated = reason.as_deref().unwrap_or("no reason is stated");
                write!(
                    f,
                    "the project is quarantined: its index says that it is not safe to install, and \
                     no file of it is given ({stated})"
                )
            }
        }
    }
}

impl std::error::Error for PolicyRefusal {}
