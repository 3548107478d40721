//! `[files]` and `[metadata]`: how many downloads, which go on without a client, and making wheels'
//! metadata (PEP 658).
//!
//! Owns the two sections. Must not know how they are followed.

use serde::{Deserialize, Serialize};

use crate::values::quantity::{Size, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// Downloads from upstream at one time; further ones wait.
    pub max_downloads: usize,
    /// How long they wait for their turn before the client is told to try again.
    pub queue_timeout: Span,
    /// A file up to this size is fetched behind a range that was asked of it, unless the range is of
    /// a client that reads a wheel's metadata. Zero never fetches behind.
    pub background_fetch_max: Size,
    /// A download up to this size is finished when every reader has left; a larger one if more than
    /// half is there.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataConfig {
    /// Whether metadata is made of wheels at all.
    pub generate: bool,
    /// Wheels of one page whose metadata is read from upstream after the page was served, if its
    /// reader takes none of the project's files. Zero reads nothing ahead.
    pub prefetch: usize,
    /// So long the page's reader has to rest before wheels are read ahead of the next one.
    pub prefetch_delay: Span,
    /// Wheels that wait to be read; further ones are left for the next time their page is asked
    /// for.
    pub queue: usize,
    /// Wheels read at one time.
    pub concurrency: usize,
    /// Wheels read in a second, at most.
    pub rate: u32,
    /// Bytes read of one wheel, at most.
    pub size: Size,
    /// How long an answer waits for what a wheel's metadata is read from besides its end.
    pub answer_timeout: Span,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            generate: true,
            prefetch: 1,
            prefetch_delay: Span::seconds(1),
            queue: 1024,
            concurrency: 4,
            rate: 20,
            size: Size::mebibytes(1),
            answer_timeout: Span::seconds(2),
        }
    }
}
