//! `[files]`: how many downloads, and which are fetched for nobody.
//!
//! Owns the section. Must not know flights.

use serde::{Deserialize, Serialize};

use crate::values::quantity::{Size, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// Downloads from upstream at one time; further ones wait.
    pub max_downloads: usize,
    /// How long they wait for their turn before the client is told to try again.
    pub queue_timeout: Span,
    /// A file up to this size is fetched behind a range that was asked of it. Zero never fetches behind.
    pub background_fetch_max: Size,
    /// A download up to this size is finished when every reader has left; a larger one if more than half is there.
    pub finish_after_abort_max: Size,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            max_downloads: 64,
            queue_timeout: Span::seconds(30),
            background_fetch_max: Size::mebibytes(64),
            finish_after_abort_max: Size::mebibytes(256),
        }
    }
}
