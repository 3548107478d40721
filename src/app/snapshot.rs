//! How it is with larder now, gathered from all its parts for the status page.
//!
//! The one place that fills a [`Snapshot`]. Must not judge anything.

use std::sync::Arc;
use std::time::Instant;

use crate::admin::status::{Disk, LastError, PeerState, Reach, Rules, Snapshot, Stale, Transfer};
use crate::admin::{Gauges, Health, Metrics, PeerGauges, Standing};
use crate::app::config::Config;
use crate::file::{DownloadProgress, Files};
use crate::index::{Pages, StalePages};
use crate::registry::Scope;
use crate::server::ListenAddress;
use crate::store::Store;
use crate::values::clock;

/// Upstreams that a person knows by name; the object store is a part of GitLab to him.
fn is_shown(peer: &PeerGauges) -> bool {
    peer.name != "object_store"
}

/// What the status page is a look at, beside the gauges.
pub(super) struct Looked {
    pub begun: Instant,
    pub opened: Vec<ListenAddress>,
    pub pages: Arc<Pages>,
    pub files: Arc<Files>,
    pub store: Arc<Store>,
    pub metrics: Arc<Metrics>,
}

/// How it is with larder now. Looks at the disk: blocks.
pub(super) fn take(config: &Config, gauges: &Gauges, looked: &Looked) -> Snapshot {
    let now = clock::now();
    let health = Health::of(gauges);
    Snapshot {
        troubles: health.reasons.iter().map(ToString::to_string).collect(),
        offline: gauges.offline,
        stopping: gauges.stopping,
        uptime: now.saturating_duration_since(looked.begun),
        listen: looked.opened.iter().map(address).collect(),
        public_url: config.public_url.clone(),
        mirrors: config
            .mirrors
            .keys()
            .filter_map(|name| Scope::mirror(name))
            .collect(),
        rules: Rules {
            cache_ttl: config.auth.cache_ttl.0,
            ttl: config.index.ttl.0,
            stale_if_error: config.index.stale_if_error.0,
        },
        lately: looked.metrics.lately.read(now),
        peers: gauges
            .peers
            .iter()
            .filter(|peer| is_shown(peer))
            .map(peer_state)
            .collect(),
        certificate: gauges.certificate,
        disk: Disk {
            stored_bytes: gauges.store.bytes,
            budget_bytes: gauges.store.budget_bytes,
            free_bytes: looked.store.free_bytes(),
            evictions: Some(gauges.store.evictions),
            quarantined: looked.store.quarantined().ok().map(|beside| beside.count),
        },
        downloads: looked
            .files
            .downloads(now)
            .into_iter()
            .map(transfer)
            .collect(),
        stale: looked.pages.stale(now).into_iter().map(stale).collect(),
        page_fetches: gauges.page_fetches,
        auth_cache_entries: gauges.grants.held,
    }
}

/// Without a path of the disk.
fn address(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.clone(),
        ListenAddress::Unix(_) => "unix socket".to_owned(),
    }
}

fn peer_state(peer: &PeerGauges) -> PeerState {
    let reach = match peer.standing {
        Standing::Well => Reach::Reachable,
        Standing::Trying => Reach::Trying,
        Standing::Resting => Reach::Resting,
    };
    let last_error = peer.last_error.as_ref().map(|error| LastError {
        words: words(error.cause).to_owned(),
        ago: error.ago,
    });
    PeerState {
        name: peer.name.clone(),
        reach,
        since: peer.since,
        next_try: peer.next_try,
        last_error,
    }
}

/// What a cause means to a person.
fn words(cause: &str) -> &str {
    match cause {
        "connect" => "the connection failed",
        "tls" => "TLS failed; see the log",
        "proxy" => "the proxy failed",
        "timeout" => "no answer in time",
        "broken" => "the connection closed before the end of the answer",
        "stalled" => "the answer stalled",
        "status" => "it answered with an error of its own (5xx)",
        other => other,
    }
}

/// A file's name leaves only if it is a mirror's: what GitLab has is for those who may read it.
fn transfer(download: DownloadProgress) -> Transfer {
    let mirror = Some(&download.file.scope)
        .filter(|scope| scope.is_mirror())
        .cloned();
    Transfer {
        filename: mirror.is_some().then(|| download.file.filename.to_string()),
        mirror,
        written_bytes: download.written_bytes,
        size_bytes: download.size_bytes,
        readers: download.readers,
        since: download.since,
    }
}

fn stale(
    StalePages {
        mirror,
        pages,
        oldest,
        last,
    }: StalePages,
) -> Stale {
    Stale {
        mirror,
        pages,
        oldest,
        last,
    }
}
