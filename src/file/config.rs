//! `[files]`: how many downloads, and which are fetched for nobody.
//!
//! Owns the section. Must not know flights.

use serde::{Deserialize, Serialize};

use crate::values::quantity::{Size, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// Downloads from upstream at one time; further ones wait.
    pub downloads: usize,
    /// How long they wait for their turn before the client is told to try again.
    pub queue_timeout: Span,
    /// A file up to this size is fetched behind a range that was asked of it. Zero never fetches behind.
    pub fetch_behind: Size,
    /// A download up to this size is finished when every reader has left; a larger one if more than half is there.
    pub finish_alone: Size,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            downloads: 64,
            queue_timeout: Span::seconds(30),
            fetch_behind: Size::mebibytes(64),
            finish_alone: Size::mebibytes(256),
        }
    }
}
