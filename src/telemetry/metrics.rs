//! Numbers in the OpenMetrics text format.
//!
//! Owns the registry and every metric's name, help and labels. Labels are words from closed sets. Must not compute.

use std::fmt::Write;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What a request is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub route: &'static str,
    pub cache: &'static str,
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByteLabels {
    pub route: &'static str,
    pub cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
}

/// Numbers that are looked at, not counted.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Upstreams by name (`gitlab`, a mirror's), and whether each rests because it could not be reached.
    pub resting: Vec<(String, bool)>,
    /// Nobody is asked anything.
    pub offline: bool,
    pub downloads: u64,
    pub page_loads: u64,
    /// Wheels whose metadata is to be read ahead.
    pub wheels_ahead: u64,
    pub grants: u64,
    /// Bytes stored or promised to downloads.
    pub store_bytes: u64,
    pub store_budget_bytes: u64,
}

pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    bytes: Family<ByteLabels, Counter>,
    broken: Counter,
    resting: Family<PeerLabels, Gauge<u64, AtomicU64>>,
    offline: Gauge<u64, AtomicU64>,
    downloads: Gauge<u64, AtomicU64>,
    page_loads: Gauge<u64, AtomicU64>,
    wheels_ahead: Gauge<u64, AtomicU64>,
    grants: Gauge<u64, AtomicU64>,
    store: Gauge<u64, AtomicU64>,
    budget: Gauge<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("larder");
        let requests = Family::default();
        registry.register(
            "requests",
            "Requests answered, by route, cache outcome and status",
            requests.clone(),
        );
        let bytes = Family::default();
        registry.register_with_unit(
            "response",
            "Body bytes sent, by route and cache outcome",
            Unit::Bytes,
            bytes.clone(),
        );
        let broken = Counter::default();
        registry.register("responses_broken", "Answers that were cut short", broken.clone());
        let resting = Family::default();
        registry.register(
            "upstream_resting",
            "Whether an upstream that could not be reached is left alone for a while",
            resting.clone(),
        );
        let mut gauge = |name: &str, help: &str, unit: Option<Unit>| {
            let gauge = Gauge::<u64, AtomicU64>::default();
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, gauge.clone()),
                None => registry.register(name, help, gauge.clone()),
            }
            gauge
        };
        Self {
            requests,
            bytes,
            broken,
            resting,
            offline: gauge("offline", "Whether larder is offline and asks nobody", None),
            downloads: gauge("downloads", "Downloads from upstream under way", None),
            page_loads: gauge("page_loads", "Page requests to upstream under way", None),
            wheels_ahead: gauge("wheels_ahead", "Wheels whose metadata is to be read ahead", None),
            grants: gauge("grants", "Rights of callers remembered, roughly", None),
            store: gauge("store", "Bytes stored or promised to downloads", Some(Unit::Bytes)),
            budget: gauge("store_budget", "Bytes the store may take", Some(Unit::Bytes)),
            registry,
        }
    }
}

impl Metrics {
    pub(super) fn request(&self, labels: &RequestLabels) {
        self.requests.get_or_create(labels).inc();
    }

    pub(super) fn sent(&self, labels: &ByteLabels, bytes: u64) {
        self.bytes.get_or_create(labels).inc_by(bytes);
    }

    pub(super) fn broke(&self) {
        self.broken.inc();
    }

    /// The text that a scraper reads.
    pub fn encode(&self, gauges: &Gauges) -> String {
        for (peer, resting) in &gauges.resting {
            self.resting.get_or_create(&PeerLabels { peer: peer.clone() }).set(u64::from(*resting));
        }
        self.offline.set(u64::from(gauges.offline));
        self.downloads.set(gauges.downloads);
        self.page_loads.set(gauges.page_loads);
        self.wheels_ahead.set(gauges.wheels_ahead);
        self.grants.set(gauges.grants);
        self.store.set(gauges.store_bytes);
        self.budget.set(gauges.store_budget_bytes);
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
            // Writing to a String cannot fail; an empty exposition is still a valid one.
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}
