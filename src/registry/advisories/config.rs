//! `[policy]`: what is refused because of what it is known to be.
//!
//! Owns the section. Must not know records.

use serde::{Deserialize, Serialize};

use super::feed::StaleRule;
use super::severity::Severity;
use crate::values::quantity::Span;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// A folder, a zip, or a file of lines, with records of the OSV schema; or `imported`: what a
    /// bundle brought. Empty: none.
    pub advisories: String,
    /// The operator's own records beside those: the same, of any age, and perhaps none. Empty: none.
    pub own_advisories: String,
    /// How old the newest of its files may be. Zero: of any age.
    pub advisories_max_age: Span,
    /// While they are older, or cannot be read.
    pub advisories_on_stale: StaleRule,
    /// Of a release with a known vulnerability.
    pub vulnerable: VulnerableRule,
    /// From this severity on.
    pub min_severity: Severity,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            advisories: String::new(),
            own_advisories: String::new(),
            advisories_max_age: Span::seconds(0),
            advisories_on_stale: StaleRule::default(),
            vulnerable: VulnerableRule::default(),
            min_severity: Severity::High,
        }
    }
}

/// What becomes of a release with a known vulnerability. Malware is refused whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VulnerableRule {
    /// It is given, logged and counted.
    #[default]
    Log,
    Refuse,
}
