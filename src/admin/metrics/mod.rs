//! Numbers as Prometheus reads them: what the edge counts, and the text of everything.
//!
//! Owns the registry and the names, helps and labels of what is counted here; what is only looked
//! at is `exposition`'s. Labels are words from closed sets. Must not compute.

mod connections;
mod exposition;
mod failures;
mod families;
mod history;
mod plain_text;
mod policy_families;
mod process;
mod view_families;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::readings::{Readings, STALE_ANSWERS_KEPT};
use crate::log::dropped_lines;
pub use connections::{ConnectionCounts, ConnectionReading, OpenConnection, TurnedAway};
use exposition::{Looked, Process, histogram};
pub use failures::{FailedRequest, Failures, RecentFailures};
pub use history::{History, Recent, Served, Window};
use plain_text::{plain_text, wants_openmetrics};
use process::ProcessReading;

use crate::values::clock;
use crate::values::histogram::Histogram;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a request is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    pub route: &'static str,
    pub cache: &'static str,
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByteLabels {
    route: &'static str,
    cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

/// A histogram that the registry can hold.
#[derive(Clone, Debug, Default)]
struct Durations(Arc<Histogram>);

/// What all requests of the same labels are counted in.
struct RequestCounters {
    requests: Counter,
    bytes: Counter,
    durations: Durations,
}

impl RequestCounters {
    fn count(&self, bytes: u64, took: Duration) {
        self.requests.inc();
        self.bytes.inc_by(bytes);
        self.durations.0.observe(took);
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        histogram(&mut encoder, &self.0.read())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

pub struct Metrics {
    /// What the status page draws.
    pub history: History,
    pub failures: RecentFailures,
    pub connections: Arc<ConnectionCounts>,
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    bytes: Family<ByteLabels, Counter>,
    durations: Family<RouteLabels, Durations>,
    /// The counters of each kind of request that there was: three look-ups for each request are one.
    counters: RwLock<HashMap<RequestLabels, RequestCounters, RandomState>>,
    broken: Counter,
    abandoned: Counter,
    reload_succeeded: Gauge<u64, AtomicU64>,
    reloaded_at: Gauge<f64, AtomicU64>,
    /// When a configuration was refused, unless a later one was taken.
    refused_at: Mutex<Option<Instant>>,
    /// When pages were last served stale, the oldest first.
    stale_at: Mutex<VecDeque<Instant>>,
    started: SystemTime,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("larder");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        let mut new = Registration(&mut registry);
        let started = clock::wall();
        let metrics = Self {
            requests: new.metric(
                "requests",
                "Requests answered, by route, cache outcome and status",
                None,
            ),
            bytes: new.metric(
                "response",
                "Body bytes sent, by route and cache outcome",
                Some(Unit::Bytes),
            ),
            durations: new.metric(
                "request_duration",
                "From a request to the end of its answer, by route",
                Some(Unit::Seconds),
            ),
            broken: new.metric("responses_broken", "Answers that were cut short", None),
            abandoned: new.metric(
                "responses_abandoned",
                "Answers whose client left before their end",
                None,
            ),
            reload_succeeded: new.metric(
                "config_last_reload_successful",
                "Whether the last configuration that was read is in force",
                None,
            ),
            reloaded_at: new.metric(
                "config_last_reload_success_timestamp",
                "When the configuration in force was read, since the epoch",
                Some(Unit::Seconds),
            ),
            counters: RwLock::default(),
            history: History::default(),
            failures: RecentFailures::default(),
            connections: Arc::default(),
            refused_at: Mutex::default(),
            stale_at: Mutex::default(),
            started,
            registry: {
                registry.register("build", "What runs", version);
                registry
            },
        };
        metrics.config_taken(started);
        metrics
    }
}

/// Makes metrics that the registry knows.
struct Registration<'r>(&'r mut Registry);

impl Registration<'_> {
    fn metric<M: Metric + Clone + Default>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
    ) -> M {
        let metric = M::default();
        match unit {
            Some(unit) => self.0.register_with_unit(name, help, unit, metric.clone()),
            None => self.0.register(name, help, metric.clone()),
        }
        metric
    }
}

impl Metrics {
    /// Counts a request that is over, and of whose body so many bytes were sent.
    pub fn request(&self, labels: &RequestLabels, bytes: u64, took: Duration) {
        if let Some(counters) = self.counters.read().get(labels) {
            return counters.count(bytes, took);
        }
        let route = labels.route;
        let cache = labels.cache;
        let counters = RequestCounters {
            requests: self.requests.get_or_create_owned(labels),
            bytes: self.bytes.get_or_create_owned(&ByteLabels { route, cache }),
            durations: self.durations.get_or_create_owned(&RouteLabels { route }),
        };
        counters.count(bytes, took);
        self.counters.write().insert(labels.clone(), counters);
    }

    pub fn broke(&self) {
        self.broken.inc();
    }

    pub fn abandoned(&self) {
        self.abandoned.inc();
    }

    pub fn served_stale(&self, now: Instant) {
        let mut stale_at = self.stale_at.lock();
        if stale_at.len() == STALE_ANSWERS_KEPT {
            stale_at.pop_front();
        }
        stale_at.push_back(now);
    }

    /// A configuration is in force from now on.
    pub fn config_taken(&self, wall: SystemTime) {
        self.reload_succeeded.set(1);
        self.reloaded_at.set(since_epoch(wall));
        *self.refused_at.lock() = None;
    }

    /// A configuration was refused, and the one before it stays in force.
    pub fn config_refused(&self, now: Instant) {
        self.reload_succeeded.set(0);
        self.refused_at.lock().get_or_insert(now);
    }

    /// For how long the newest configuration has been refused, if it was.
    pub fn config_refused_for(&self, now: Instant) -> Option<Duration> {
        since(&self.refused_at, now)
    }

    /// How long ago pages were last served stale, at most `STALE_ANSWERS_KEPT` of them, the newest last.
    pub fn stale_answers(&self, now: Instant) -> Vec<Duration> {
        let stale_at = self.stale_at.lock();
        let since = |at: &Instant| now.saturating_duration_since(*at);
        stale_at.iter().map(since).collect()
    }

    /// The text that a scraper reads and its media type: OpenMetrics for a client that accepts it,
    /// else the text format 0.0.4.
    pub fn encode<'a>(
        &self,
        readings: Readings,
        accept: impl Iterator<Item = &'a str>,
    ) -> (&'static str, String) {
        let mut looked = Registry::with_prefix("larder");
        looked.register_collector(Box::new(Looked(readings)));
        let dropped = Counter::<u64>::default();
        dropped.inc_by(dropped_lines());
        looked.register(
            "log_lines_dropped",
            "Log lines lost because they were not taken in time",
            dropped,
        );
        let mut process = Registry::default();
        process.register_collector(Box::new(Process(ProcessReading::now(self.started))));
        let mut text = String::new();
        // Writing to a String cannot fail.
        for registry in [&self.registry, &looked, &process] {
            let _ = encode_registry(&mut text, registry);
        }
        let _ = encode_eof(&mut text);
        if wants_openmetrics(accept) {
            (OPENMETRICS, text)
        } else {
            (PLAIN_TEXT, plain_text(&text))
        }
    }
}

fn since(at: &Mutex<Option<Instant>>, now: Instant) -> Option<Duration> {
    let at = *at.lock();
    at.map(|at| now.saturating_duration_since(at))
}

fn since_epoch(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
