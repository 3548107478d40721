//! `[index]`: how long pages count, and how much is kept of them.
//!
//! Owns the section. Must not know pages.

use serde::{Deserialize, Serialize};

use crate::quantity::{Size, Span};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexConfig {
    /// A page younger than this is answered without asking.
    pub fresh_for: Span,
    /// A page not older than this is served when upstream fails, to callers whose right still stands.
    pub stale_for: Span,
    /// A page larger than this passes through rewritten, but is kept nowhere.
    pub page_size: Size,
    /// Page requests to upstream at one time; further ones wait.
    pub loads: usize,
    /// Prepared pages kept in memory.
    pub memory: Size,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            fresh_for: Span::seconds(30),
            stale_for: Span::seconds(7 * 24 * 3600),
            page_size: Size::mebibytes(8),
            loads: 64,
            memory: Size::mebibytes(32),
        }
    }
}
