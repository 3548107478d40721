//! `[metadata]`: making wheels' metadata (PEP 658), and reading it ahead.
//!
//! Owns the section. Must not know how it is made.

use serde::{Deserialize, Serialize};

use crate::values::quantity::{Size, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataConfig {
    /// Whether metadata is made of wheels at all.
    pub generate: bool,
    /// Wheels of one page whose metadata is read from upstream after the page was served, if its reader takes none of the
    /// project's files. Zero reads nothing ahead.
    pub prefetch: usize,
    /// So long the page's reader has to rest before wheels are read ahead of the next one.
    pub prefetch_delay: Span,
    /// Wheels that wait to be read; further ones are left for the next time their page is asked for.
    pub queue: usize,
    /// Wheels read at one time.
    pub concurrency: usize,
    /// Wheels read in a second, at most.
    pub rate: u32,
    /// Bytes read of one wheel, at most.
    pub size: Size,
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
        }
    }
}
