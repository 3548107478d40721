//! One request's line in the log and its counts, written when its body has ended, however it ended.
//!
//! Must not know bodies.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};

use super::Metrics;
use super::history::Served;
use super::metrics::{ByteLabels, RequestLabels, RouteLabels};
use crate::cache_status::{CacheStatus, Outcome};
use crate::clock;
use crate::correlation::{Correlation, Others};

/// Longest path that is logged, in characters.
const PATH_CHARS_MAX: usize = 512;

/// What is known of a request when its answer begins.
pub struct Line {
    pub method: Method,
    pub route: &'static str,
    /// Logged escaped; never has a query.
    pub path: String,
    pub status: StatusCode,
    pub cache: CacheStatus,
    pub since: Instant,
    pub correlation: Arc<Correlation>,
}

pub struct Tally {
    metrics: Arc<Metrics>,
    line: Line,
    bytes: u64,
    broken: Option<String>,
}

impl Tally {
    pub fn new(metrics: Arc<Metrics>, line: Line) -> Self {
        Self { metrics, line, bytes: 0, broken: None }
    }

    pub fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    pub fn broke(&mut self, why: &dyn std::error::Error) {
        self.broken = Some(why.to_string());
    }
}

/// A path as it may stand in a log: no control bytes, no line breaks, not without end.
struct Shown<'p>(&'p str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() <= PATH_CHARS_MAX && self.0.bytes().all(|b| b.is_ascii_graphic()) {
            return f.write_str(self.0);
        }
        self.0.chars().take(PATH_CHARS_MAX).try_for_each(|c| write!(f, "{}", c.escape_default()))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Line { method, route, path, status, cache, since, correlation } = &self.line;
        let now = clock::now();
        let took = now.saturating_duration_since(*since);
        let line_status = *status;
        let (status, word) = (status.as_u16(), cache.outcome.word());
        self.metrics.request(&RequestLabels { route, cache: word, status });
        self.metrics.sent(&ByteLabels { route, cache: word }, self.bytes);
        self.metrics.took(&RouteLabels { route }, took);
        if cache.outcome == Outcome::Stale {
            self.metrics.served_stale(now);
        }
        if self.broken.is_some() {
            self.metrics.broke();
        }
        if let Some(served) = Served::of(route, line_status, cache.outcome, self.bytes) {
            self.metrics.lately.record(served, now);
        }
        let Others { upstream, shared } = correlation.others();
        tracing::info!(
            target: "larder::request",
            method = %known(method),
            path = %Shown(path),
            status,
            bytes = self.bytes,
            us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            cache = word,
            upstream_status = cache.upstream_status,
            broken = self.broken.as_deref(),
            id = %correlation.id(),
            upstream_id = upstream.as_ref().map(tracing::field::display),
            shared_id = shared.as_ref().map(tracing::field::display),
        );
    }
}

/// Any word can be a method, of any length.
fn known(method: &Method) -> &str {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
    if known.contains(method) { method.as_str() } else { "OTHER" }
}
