//! One request's line in the log and its counts, written when its body has ended, however it ended.
//!
//! Must not know bodies.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, StatusCode};
use tracing::Level;

use super::failure::Failure;
use super::wire::ClientAddress;
use crate::admin::metrics::{FailedRequest, Metrics, RequestLabels, Served};
use crate::log::{self, Fields};
use crate::registry::{AdminEndpoint, Route, Scope};
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::clock;
use crate::values::correlation::{Correlation, Others};

/// Longest path that is logged, in characters.
const PATH_CHARS_MAX: usize = 512;

/// Longest `User-Agent` that is logged, in characters.
const AGENT_CHARS_MAX: usize = 200;

/// In place of a status where the client had left before the answer; nginx's word for it.
const CLIENT_LEFT: u16 = 499;

/// What is known of a request when it comes.
pub struct LoggedRequest {
    /// None over a unix socket.
    pub client: Option<ClientAddress>,
    pub method: Method,
    /// Or the path that is no route's. Logged escaped; never has a query.
    pub route: Result<Route, String>,
    /// Only while the log has debug lines of requests.
    pub user_agent: Option<String>,
    pub since: Instant,
    pub correlation: Arc<Correlation>,
}

impl LoggedRequest {
    /// The kind of route in one word.
    fn word(&self) -> &'static str {
        match &self.route {
            Ok(route) => route.word(),
            Err(_) => "unknown",
        }
    }

    /// Whether it was asked how larder is, which monitors do all day.
    fn is_routine(&self) -> bool {
        match &self.route {
            // A job's own work, as an upload is.
            Ok(Route::Osv(_) | Route::Admin(AdminEndpoint::RewriteLock)) => false,
            Ok(Route::Admin(_)) => true,
            Ok(_) | Err(_) => false,
        }
    }
}

/// The `User-Agent` of a request, if the log is to have it.
pub fn user_agent(headers: &HeaderMap) -> Option<String> {
    if !log::is_request_wanted(Level::DEBUG) {
        return None;
    }
    let agent = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(agent.chars().take(AGENT_CHARS_MAX).collect())
}

pub struct AccessLogEntry {
    metrics: Arc<Metrics>,
    request: LoggedRequest,
    answer: Option<(StatusCode, CacheStatus)>,
    /// Which source of a view answered.
    source: Option<HeaderValue>,
    /// The body's length, where it is known beforehand.
    promised: Option<u64>,
    bytes: u64,
    ended: bool,
    broken: bool,
    failure: Option<Failure>,
}

impl AccessLogEntry {
    pub fn new(metrics: Arc<Metrics>, request: LoggedRequest) -> Self {
        Self {
            metrics,
            request,
            answer: None,
            source: None,
            promised: None,
            bytes: 0,
            ended: false,
            broken: false,
            failure: None,
        }
    }

    /// The answer's head is about to be sent. Without this call the client did not wait for it.
    pub fn answered(&mut self, status: StatusCode, cache: CacheStatus, failure: Option<Failure>) {
        self.answer = Some((status, cache));
        self.failure = failure;
    }

    /// A source of a view answered.
    pub fn source(&mut self, source: Option<&HeaderValue>) {
        self.source = source.cloned();
    }

    /// Whose packages were asked for.
    pub fn scope(&self) -> Option<&Scope> {
        self.request.route.as_ref().ok()?.scope()
    }

    /// The request that it is about.
    pub fn correlation(&self) -> &Arc<Correlation> {
        &self.request.correlation
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

    pub fn broke(&mut self, why: &(dyn std::error::Error + 'static)) {
        self.broken = true;
        self.failure = Some(Failure::of_break(why));
    }
}

/// A path as it may stand in a log: no control bytes, no line breaks, not without end.
fn logged_path(path: &str) -> Cow<'_, str> {
    let is_plain = path.bytes().all(|b| b.is_ascii_graphic());
    if path.len() <= PATH_CHARS_MAX && is_plain {
        return Cow::Borrowed(path);
    }
    let chars = path.chars().take(PATH_CHARS_MAX);
    chars.flat_map(char::escape_default).collect()
}

/// Adds a route's path as it may stand in a log.
fn push_path(text: &mut String, route: &Route) {
    let start = text.len();
    route.push_path(text);
    // Its letters are harmless.
    if text.len() - start > PATH_CHARS_MAX {
        let long = text.split_off(start);
        text.push_str(&logged_path(&long));
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
        !(self.broken || self.answer.is_some() && sent)
    }

    fn count(&self, now: Instant, took: Duration) {
        let route = self.request.word();
        let cache = self.cache().outcome;
        let labels = RequestLabels {
            route,
            cache: cache.word(),
            status: self.status(),
        };
        self.metrics.request(&labels, self.bytes, took);
        if cache == Outcome::Stale {
            self.metrics.served_stale(now);
        }
        if self.client_left() {
            self.metrics.abandoned();
        } else if self.broken {
            self.metrics.broke();
        }
        if let Some((status, _)) = self.answer
            && let Some(served) = Served::of(route, status, cache, self.bytes)
        {
            self.metrics.history.record(served, now);
        }
    }

    /// Tells the status page of a request that failed.
    fn tell(&self, now: Instant) {
        let Some(failure) = &self.failure else {
            return;
        };
        if self.client_left() {
            return;
        }
        let id = self.request.correlation.id();
        let request = FailedRequest {
            route: self.request.word(),
            upstream: self.scope().map(upstream_name),
            status: self.status(),
            cause: failure.cause,
            reason: failure.shown.clone(),
            id: id.is_own().then(|| id.clone()),
        };
        self.metrics.failures.record(request, now);
    }

    fn log(&self, took: Duration) {
        let level = self.level();
        if log::is_request_wanted(level) {
            let id = self.request.correlation.id();
            id.with_text(|id| log::write(log::REQUEST, level, |line| self.write(line, id, took)));
        }
    }

    fn write(&self, line: &mut Fields<'_>, id: &str, took: Duration) {
        let request = &self.request;
        if let Some(client) = request.client
            && log::are_client_addresses_shown()
        {
            client.with_text(|client| line.word("client", client));
        }
        line.word("method", known(&request.method));
        match &request.route {
            Ok(route) => line.spelled("path", |text| push_path(text, route)),
            Err(path) => line.text("path", &logged_path(path)),
        }
        line.number("status", self.status());
        line.number("bytes", self.bytes);
        // Microseconds are what is measured; nginx and Envoy tell milliseconds.
        let rounded = took.saturating_add(Duration::from_nanos(500));
        let micros = u64::try_from(rounded.as_micros()).unwrap_or(u64::MAX);
        line.thousandths("duration_ms", micros);
        let cache = self.cache();
        line.word("cache", cache.outcome.word());
        if let Some(source) = &self.source
            && let Ok(source) = source.to_str()
        {
            line.text("source", source);
        }
        if let Some(status) = cache.upstream_status {
            line.number("upstream_status", status);
        }
        let left = self.client_left().then(Failure::client_left);
        if let Some(failure) = left.as_ref().or(self.failure.as_ref()) {
            line.text("cause", failure.cause);
            line.text("error", &failure.said);
        }
        if request.correlation.id().is_own() {
            line.word("id", id);
        } else {
            line.text("id", id);
        }
        let Others { upstream, shared } = request.correlation.others();
        for (key, other) in [("upstream_id", upstream), ("shared_id", shared)] {
            if let Some(other) = other {
                other.with_text(|other| line.text(key, other));
            }
        }
        if let Some(user_agent) = &request.user_agent {
            line.text("user_agent", user_agent);
        }
    }

    fn level(&self) -> Level {
        if self.request.is_routine() {
            Level::DEBUG
        } else if self.broken || self.status() >= 500 {
            Level::WARN
        } else {
            Level::INFO
        }
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let now = clock::now();
        let took = now.saturating_duration_since(self.request.since);
        self.count(now, took);
        self.tell(now);
        self.log(took);
    }
}

/// `gitlab`, or the name of the scope's mirror.
fn upstream_name(scope: &Scope) -> String {
    if scope.is_mirror() {
        scope.to_string()
    } else {
        "gitlab".to_owned()
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
