//! What the status page tells of views.
//!
//! Pure. A source of GitLab's has its place in the configuration for a name. Must not know HTML.

use serde::Serialize;

use super::words::counted;
use crate::index::ViewReading;

#[derive(Debug, Serialize)]
pub(super) struct ViewReport {
    pub name: String,
    pub sources: Vec<SourceReport>,
    /// Answers since the start: of the list, and that no source has the name.
    pub lists: u64,
    pub without_source: u64,
    /// Those of which there were any.
    pub errors: Vec<ViewErrorReport>,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct SourceReport {
    /// Its place in the configuration, from 1.
    pub source: usize,
    /// `gitlab`, or the mirror's name.
    pub upstream: String,
    /// Since the start.
    pub pages: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ViewErrorReport {
    /// As in the metrics.
    pub reason: &'static str,
    pub count: u64,
}

impl ViewReport {
    pub(super) fn of(read: &ViewReading) -> Self {
        let mut sources = Vec::new();
        let mut parts = Vec::new();
        for (at, source) in read.sources.iter().enumerate() {
            let place = at + 1;
            let pages = counted(source.pages, "page", "pages");
            parts.push(format!("{pages} by source {place} ({})", source.upstream));
            sources.push(SourceReport {
                source: place,
                upstream: source.upstream.clone(),
                pages: source.pages,
            });
        }
        if read.without_source > 0 {
            let names = counted(read.without_source, "name", "names");
            parts.push(format!("{names} that no source has"));
        }
        let mut errors = Vec::new();
        for (reason, count) in &read.errors {
            if *count > 0 {
                parts.push(format!(
                    "{} {reason}",
                    counted(*count, "request", "requests")
                ));
                errors.push(ViewErrorReport {
                    reason,
                    count: *count,
                });
            }
        }
        Self {
            name: read.name.clone(),
            sources,
            lists: read.lists,
            without_source: read.without_source,
            errors,
            sentence: format!("/{}/simple/: {}", read.name, parts.join(", ")),
        }
    }
}
