//! One parent as the status tells it.
//!
//! Pure. Must not name an address but the parent's.

use serde::Serialize;

use crate::upstream::ParentReading;

#[derive(Debug, Serialize)]
pub(super) struct ParentReport {
    pub url: String,
    /// `known`, `away` or `unusable`.
    pub state: &'static str,
    /// Null until it has answered.
    pub version: Option<String>,
    pub sentence: String,
}

impl ParentReport {
    pub(super) fn of(parent: &ParentReading) -> Self {
        let (state, mut sentence) = match &parent.fault {
            None => (
                "known",
                format!("{} has told which mirrors it serves", parent.url),
            ),
            Some(fault) if fault.is_final() => ("unusable", String::new()),
            Some(_) => ("away", String::new()),
        };
        if let Some(fault) = parent.fault_in_words() {
            sentence = fault;
        }
        if let Some(version) = &parent.version {
            sentence += &format!(" (larder {version})");
        }
        Self {
            url: parent.url.clone(),
            state,
            version: parent.version.clone(),
            sentence,
        }
    }
}
