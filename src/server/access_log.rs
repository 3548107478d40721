//! One request's line in the log and its counts, written when its body has ended, however it ended.
//!
//! Must not know bodies.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::wire::ClientAddress;
use crate::admin::metrics::{ByteLabels, Metrics, RequestLabels, RouteLabels, Served};
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::clock;
use crate::values::correlation::{Correlation, Others};

/// Longest path that is logged, in characters.
const PATH_CHARS_MAX: usize = 512;

/// In place of a status where the client had left before the answer; nginx's word for it.
const CLIENT_LEFT: u16 = 499;

/// What is known of a request when it comes.
pub struct LoggedRequest {
    /// None over a unix socket.
    pub client: Option<ClientAddress>,
    pub method: Method,
    pub route: &'static str,
    /// Logged escaped; never has a query.
    pub path: String,
    pub since: Instant,
    pub correlation: Arc<Correlation>,
}

pub struct AccessLogEntry {
    metrics: Arc<Metrics>,
    request: LoggedRequest,
    answer: Option<(StatusCode, CacheStatus)>,
    /// The body's length, where it is known beforehand.
    promised: Option<u64>,
    bytes: u64,
    ended: bool,
    broken: Option<String>,
}

impl AccessLogEntry {
    pub fn new(metrics: Arc<Metrics>, request: LoggedRequest) -> Self {
        Self {
            metrics,
            request,
            answer: None,
            promised: None,
            bytes: 0,
            ended: false,
            broken: None,
        }
    }

    /// The answer's head is about to be sent. Without this call the client did not wait for it.
    pub fn answered(&mut self, status: StatusCode, cache: CacheStatus) {
        self.answer = Some((status, cache));
    }

    /// How long the body will be; hyper asks for no more after its last byte.
    pub fn promised(&mut self, bytes: Option<u64>) {
        self.promised = bytes;
    }

    pub fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// There is no more of the body.
    pub fn ended(&mut self) {
        self.ended = true;
    }

    pub fn broke(&mut self, why: &dyn std::error::Error) {
        self.broken = Some(why.to_string());
    }
}

/// A path as it may stand in a log: no control bytes, no line breaks, not without end.
struct LoggedPath<'p>(&'p str);

impl fmt::Display for LoggedPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() <= PATH_CHARS_MAX && self.0.bytes().all(|b| b.is_ascii_graphic()) {
            return f.write_str(self.0);
        }
        self.0
            .chars()
            .take(PATH_CHARS_MAX)
            .try_for_each(|c| write!(f, "{}", c.escape_default()))
    }
}

impl AccessLogEntry {
    fn status(&self) -> u16 {
        match self.answer {
            Some((status, _)) => status.as_u16(),
            None => CLIENT_LEFT,
        }
    }

    fn cache(&self) -> CacheStatus {
        match self.answer {
            Some((_, cache)) => cache,
            None => CacheStatus::INTERNAL,
        }
    }

    /// Whether the client left before it had everything.
    fn client_left(&self) -> bool {
        let sent = self.ended || self.promised == Some(self.bytes);
        self.broken.is_none() && !(self.answer.is_some() && sent)
    }

    fn count(&self, now: Instant, took: Duration) {
        let route = self.request.route;
        let cache = self.cache().outcome;
        let word = cache.word();
        self.metrics.request(&RequestLabels {
            route,
            cache: word,
            status: self.status(),
        });
        let labels = ByteLabels { route, cache: word };
        self.metrics.sent(&labels, self.bytes);
        self.metrics.took(&RouteLabels { route }, took);
        if cache == Outcome::Stale {
            self.metrics.served_stale(now);
        }
        if self.client_left() {
            self.metrics.abandoned();
        } else if self.broken.is_some() {
            self.metrics.broke();
        }
        if let Some((status, _)) = self.answer
            && let Some(served) = Served::of(route, status, cache, self.bytes)
        {
            self.metrics.history.record(served, now);
        }
    }

    fn log(&self, took: Duration) {
        let LoggedRequest {
            client,
            method,
            path,
            correlation,
            ..
        } = &self.request;
        let status = self.status();
        let cache = self.cache();
        let word = cache.outcome.word();
        let error = if self.client_left() {
            Some("client disconnected")
        } else {
            self.broken.as_deref()
        };
        let Others { upstream, shared } = correlation.others();
        // Microseconds are what is measured; nginx and Envoy tell milliseconds.
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        tracing::info!(
            target: "larder::request",
            client = client.as_ref().map(tracing::field::display),
            method = %known(method),
            path = %LoggedPath(path),
            status,
            bytes = self.bytes,
            duration_ms,
            cache = word,
            upstream_status = cache.upstream_status,
            error,
            id = %correlation.id(),
            upstream_id = upstream.as_ref().map(tracing::field::display),
            shared_id = shared.as_ref().map(tracing::field::display),
        );
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let now = clock::now();
        let took = now.saturating_duration_since(self.request.since);
        self.count(now, took);
        self.log(took);
    }
}

/// Any word can be a method, of any length.
fn known(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if known.contains(method) {
        method.as_str()
    } else {
        "OTHER"
    }
}
