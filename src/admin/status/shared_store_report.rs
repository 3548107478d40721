//! What the status page tells of the shared store.
//!
//! Pure. Must not know HTML.

use serde::Serialize;

use super::words::{counted, grouped};
use crate::file::SharedStoreReading;

/// What the shared store was good for since the start.
#[derive(Debug, Serialize)]
pub(super) struct SharedStoreReport {
    pub sentence: String,
    pub hits: u64,
    /// Cold files that did not come from it, for whatever reason.
    pub misses: u64,
    pub uploaded: u64,
    pub queue: u64,
}

impl SharedStoreReport {
    pub(super) fn of(read: &SharedStoreReading) -> Self {
        let of = |counts: &[(&'static str, u64)], wanted: &str| {
            let found = counts.iter().find(|(word, _)| *word == wanted);
            found.map_or(0, |(_, count)| *count)
        };
        let asked: u64 = read.lookups.iter().map(|(_, count)| count).sum();
        let hits = of(&read.lookups, "hit");
        let misses = asked - hits;
        let sentence = match &read.fault {
            Some((why, _)) => format!("The shared store {why}"),
            None => format!(
                "{} of {} came from the shared store; {} to be uploaded",
                grouped(hits),
                counted(asked, "cold file", "cold files"),
                counted(read.queue, "file is yet", "files are yet")
            ),
        };
        Self {
            sentence,
            hits,
            misses,
            uploaded: of(&read.uploads, "completed"),
            queue: read.queue,
        }
    }
}
