//! The numbers that are looked at, as metric families: names, helps, units, labels.
//!
//! Every label's values are words of closed sets or configured names. Must not compute, nor look
//! anything up.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::families::{Families, Labels};
use super::policy_families::{advisories, pages, policies};
use super::process::ProcessReading;
use super::view_families::views;
use crate::admin::health::{Health, REASONS};
use crate::admin::readings::Readings;
use crate::file::SharedStoreReading;
use crate::index::GivenPages;
use crate::store::StoreReading;
use crate::upstream::{BreakerState, PeerReading};
use crate::values::histogram::HistogramReading;

/// What was looked at, to be registered under the prefix `larder`.
#[derive(Debug)]
pub(super) struct Looked(pub Readings);

impl Collector for Looked {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = &self.0;
        let mut families = Families(encoder);
        health(all, &mut families)?;
        links_past(&all.past, &mut families)?;
        peers(&all.peers, &mut families)?;
        files(all, &mut families)?;
        upload_dates(all, &mut families)?;
        policies(all, &mut families)?;
        pages(&all.pages, &mut families)?;
        views(&all.views, &mut families)?;
        shared_store(all.files.shared_store.as_ref(), &mut families)?;
        store(all, &mut families)?;
        callers(all, &mut families)?;
        advisories(all.advisories.as_ref(), &mut families)?;
        certificate(all, &mut families)
    }
}

fn health(all: &Readings, families: &mut Families<'_>) -> fmt::Result {
    let health = Health::of(all);
    let given = |word| health.reasons.iter().any(|reason| reason.word == word);
    families.gauges(
        ("degraded", "Whether larder is degraded, by reason", None),
        REASONS.map(|word| (vec![("reason", word)], truth(given(word)))),
    )?;
    families.gauge(
        "ready",
        "Whether requests should be sent here",
        None,
        u64::from(health.is_ready()),
    )?;
    families.gauge(
        "offline",
        "Whether larder is offline and asks no upstream",
        None,
        u64::from(all.offline),
    )
}

fn links_past(past: &[GivenPages], families: &mut Families<'_>) -> fmt::Result {
    let mut named = Vec::new();
    for given in past {
        let name = match &given.mirror {
            Some(mirror) => mirror.to_string(),
            None => "gitlab".to_owned(),
        };
        named.push((name, given.pages));
    }
    let mut samples = Vec::new();
    for (name, pages) in &named {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        samples.push((vec![("upstream", name.as_str())], *pages as f64));
    }
    families.gauges(
        (
            "pages_leading_past",
            "Pages given in the last five minutes with links that lead past larder, by upstream",
            None,
        ),
        samples,
    )
}

/// One of several parents is told from the others.
fn of(peer: &PeerReading) -> Labels<'_> {
    let mut labels = vec![("upstream", peer.name.as_str())];
    if let Some(parent) = &peer.parent
        && peer.has_stand_ins
    {
        labels.push(("parent", parent));
    }
    labels
}

fn peers(peers: &[PeerReading], families: &mut Families<'_>) -> fmt::Result {
    families.gauges(
        (
            "upstream_circuit_open",
            "Whether the circuit breaker of an upstream is open, or half open",
            None,
        ),
        peers.iter().map(|peer| {
            (
                of(peer),
                truth(peer.condition.state != BreakerState::Closed),
            )
        }),
    )?;
    families.gauges(
        (
            "upstream_unreached",
            "For how long an upstream whose circuit breaker is open has not been reached",
            Some(Unit::Seconds),
        ),
        peers
            .iter()
            .map(|peer| (of(peer), seconds(peer.condition.since))),
    )?;
    families.gauges(
        (
            "upstream_credential_refused",
            "Whether an upstream refuses the credential that is larder's own there",
            None,
        ),
        peers
            .iter()
            .map(|peer| (of(peer), truth(peer.refused.is_some()))),
    )?;
    peer_requests(peers, families)
}

fn peer_requests(peers: &[PeerReading], families: &mut Families<'_>) -> fmt::Result {
    families.counters(
        (
            "upstream_requests",
            "Requests sent upstream, by upstream, kind and result",
            None,
        ),
        peers.iter().flat_map(|peer| {
            peer.requests.iter().map(|(kind, result, count)| {
                let mut labels = of(peer);
                labels.extend([("kind", *kind), ("result", *result)]);
                (labels, *count)
            })
        }),
    )?;
    families.counters(
        (
            "upstream_errors",
            "Requests without a whole answer and 5xx answers, by upstream and cause",
            None,
        ),
        peers.iter().flat_map(|peer| {
            peer.faults.iter().map(|(cause, count)| {
                let mut labels = of(peer);
                labels.push(("cause", *cause));
                (labels, *count)
            })
        }),
    )?;
    families.counters(
        (
            "upstream_received",
            "Body bytes received from upstream",
            Some(Unit::Bytes),
        ),
        peers.iter().map(|peer| (of(peer), peer.received_bytes)),
    )?;
    families.family(
        (
            "upstream_latency",
            "From a request upstream to the head of its answer",
            Some(Unit::Seconds),
        ),
        MetricType::Histogram,
        peers.iter().map(|peer| (of(peer), &peer.latency)),
        |encoder, latency| histogram(encoder, latency),
    )
}

fn files(all: &Readings, families: &mut Families<'_>) -> fmt::Result {
    families.gauge(
        "downloads",
        "Downloads from upstream under way",
        None,
        all.downloads,
    )?;
    families.counters(
        (
            "downloads_ended",
            "Downloads from upstream that ended, by result",
            None,
        ),
        all.files
            .ended
            .iter()
            .map(|(how, count)| (vec![("result", *how)], *count)),
    )?;
    families.counter(
        "downloads_collapsed",
        "Requests that shared a download under way",
        None,
        all.files.joined,
    )?;
    families.counter(
        "checksum_mismatches",
        "Bodies from upstream whose bytes were not what their address promises",
        None,
        all.files.wrong_bodies,
    )?;
    families.gauge(
        "blocked_addresses",
        "Addresses blocked for a while after checksum mismatches",
        None,
        all.files.blocked,
    )?;
    families.gauge(
        "page_fetches",
        "Page requests to upstream under way",
        None,
        all.page_fetches,
    )?;
    families.gauge(
        "prefetch_queue",
        "Wheels whose metadata is to be prefetched",
        None,
        all.prefetch_queue,
    )
}

fn upload_dates(all: &Readings, families: &mut Families<'_>) -> fmt::Result {
    let dates = all.dates;
    families.counters(
        (
            "upload_dates",
            "Files whose upload date GitLab was asked for, by whether it told it",
            None,
        ),
        [("told", dates.told), ("untold", dates.untold)]
            .map(|(result, count)| (vec![("result", result)], count)),
    )?;
    families.gauge(
        "upload_dates_queue",
        "Pages of GitLab's that wait for the upload dates of their files",
        None,
        dates.queue,
    )
}

/// Without a shared store there is nothing to tell of.
fn shared_store(read: Option<&SharedStoreReading>, families: &mut Families<'_>) -> fmt::Result {
    let lookups = read.iter().flat_map(|read| &read.lookups);
    families.counters(
        (
            "shared_store_lookups",
            "Cold files looked up in the shared store, by result",
            None,
        ),
        lookups.map(|(how, count)| (vec![("result", *how)], *count)),
    )?;
    let uploads = read.iter().flat_map(|read| &read.uploads);
    families.counters(
        (
            "shared_store_uploads",
            "Files that were to be uploaded to the shared store, by result",
            None,
        ),
        uploads.map(|(how, count)| (vec![("result", *how)], *count)),
    )?;
    families.counters(
        (
            "shared_store_uploaded",
            "Bytes uploaded to the shared store",
            Some(Unit::Bytes),
        ),
        read.iter().map(|read| (Labels::new(), read.uploaded_bytes)),
    )?;
    families.gauges(
        (
            "shared_store_queue",
            "Files that wait to be uploaded to the shared store",
            None,
        ),
        read.iter().map(|read| (Labels::new(), read.queue as f64)),
    )
}

fn store(all: &Readings, families: &mut Families<'_>) -> fmt::Result {
    let store = &all.store;
    let bytes = Some(Unit::Bytes);
    families.gauge(
        "store",
        "Bytes stored or promised to downloads",
        bytes.clone(),
        store.bytes,
    )?;
    families.gauge(
        "store_budget",
        "Bytes the store may take",
        bytes.clone(),
        store.budget_bytes,
    )?;
    families.gauge(
        "store_blobs",
        "Files, pages and metadata stored",
        None,
        store.blobs,
    )?;
    families.gauge(
        "store_spool",
        "Bytes of downloads not yet whole",
        bytes,
        store.spool_bytes,
    )?;
    evictions(store, families)
}

fn evictions(store: &StoreReading, families: &mut Families<'_>) -> fmt::Result {
    families.counter(
        "store_evictions",
        "Stored files evicted",
        None,
        store.evictions,
    )?;
    families.counter(
        "store_evicted",
        "Bytes of stored files evicted",
        Some(Unit::Bytes),
        store.evicted_bytes,
    )?;
    families.counter(
        "store_evictions_of_recent",
        "Stored files evicted within a day of their last use",
        None,
        store.evictions_of_recent,
    )?;
    families.counter(
        "store_quarantined",
        "Damaged files quarantined",
        None,
        store.quarantined,
    )?;
    families.counter(
        "store_emptied",
        "Stored bodies that were found empty",
        None,
        store.emptied,
    )?;
    families.counter(
        "store_failures",
        "Writes to the cache folder that failed",
        None,
        store.failures,
    )
}

fn callers(all: &Readings, families: &mut Families<'_>) -> fmt::Result {
    families.gauge(
        "auth_cache_entries",
        "Entries of the authorization cache, roughly",
        None,
        all.grants.held,
    )?;
    families.counter(
        "auth_cache_granted",
        "Times GitLab let a caller in",
        None,
        all.grants.granted,
    )?;
    families.counter(
        "auth_cache_refused",
        "Times GitLab refused a credential or had nothing for it",
        None,
        all.grants.refused,
    )?;
    families.gauge(
        "connections",
        "Connections of clients open",
        None,
        all.connections.open,
    )?;
    families.counter(
        "connections_accepted",
        "Connections of clients accepted",
        None,
        all.connections.accepted,
    )?;
    families.counters(
        (
            "connections_refused",
            "Connections of clients refused, by reason",
            None,
        ),
        all.connections
            .refused
            .iter()
            .map(|(why, count)| (vec![("reason", *why)], *count)),
    )
}

fn certificate(all: &Readings, families: &mut Families<'_>) -> fmt::Result {
    let ends = all.certificate.map(|certificate| {
        let since_epoch = certificate
            .not_after
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        (vec![("certificate", "server")], since_epoch.as_secs_f64())
    });
    families.gauges(
        (
            "certificate_expiry_timestamp",
            "When a certificate in use ends, since the epoch",
            Some(Unit::Seconds),
        ),
        ends,
    )
}

/// What the kernel says, to be registered without a prefix.
#[derive(Debug)]
pub(super) struct Process(pub ProcessReading);

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let read = self.0;
        let mut families = Families(encoder);
        let cpu = [(Labels::new(), read.cpu.as_secs_f64())];
        families.family(
            (
                "process_cpu",
                "Time that processors worked for this process",
                Some(Unit::Seconds),
            ),
            MetricType::Counter,
            cpu,
            |encoder, value| encoder.encode_counter::<NoLabelSet, _, f64>(value, None),
        )?;
        families.gauges(
            (
                "process_start_time",
                "When this process began, since the epoch",
                Some(Unit::Seconds),
            ),
            [(Labels::new(), read.started.as_secs_f64())],
        )?;
        if let Some(bytes) = read.resident_bytes {
            families.gauge(
                "process_resident_memory",
                "Memory resident",
                Some(Unit::Bytes),
                bytes,
            )?;
        }
        if let Some(open) = read.open_fds {
            families.gauge("process_open_fds", "File descriptors open", None, open)?;
        }
        match read.max_fds {
            Some(max) => families.gauge(
                "process_max_fds",
                "File descriptors that may be open",
                None,
                max,
            ),
            None => Ok(()),
        }
    }
}

pub(super) fn histogram(encoder: &mut MetricEncoder<'_>, read: &HistogramReading) -> fmt::Result {
    encoder.encode_histogram::<NoLabelSet>(read.sum_seconds, read.count, &read.buckets, None)
}

fn seconds(duration: Option<Duration>) -> f64 {
    duration.unwrap_or_default().as_secs_f64()
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}
