//! How severe a vulnerability is, as its record states it.
//!
//! Must not know records.

use std::fmt;

use cvss::Cvss;
use serde::{Deserialize, Serialize};

/// The ratings of CVSS, and what has none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The record states none.
    #[default]
    Unrated,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// The least first.
    pub const ALL: [Self; 5] = [
        Self::Unrated,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// The rating of a CVSS vector, v3 or v4; of anything else, none.
    pub(super) fn of_vector(vector: &str) -> Self {
        let Ok(vector) = vector.parse::<Cvss>() else {
            return Self::Unrated;
        };
        match vector.severity() {
            // Of no effect by its own words, but rated.
            cvss::Severity::None | cvss::Severity::Low => Self::Low,
            cvss::Severity::Medium => Self::Medium,
            cvss::Severity::High => Self::High,
            cvss::Severity::Critical => Self::Critical,
        }
    }

    /// The word of a database.
    pub(super) fn of_word(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "low" => Self::Low,
            "moderate" | "medium" => Self::Medium,
            "high" | "important" => Self::High,
            "critical" => Self::Critical,
            _ => Self::Unrated,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Unrated => "unrated",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
