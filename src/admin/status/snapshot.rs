//! What the status page is made of, as values from one moment.
//!
//! Instants have become durations. Whoever puts the services together fills it; nothing here may hold a credential, a
//! package's name in GitLab, a path of the disk or an upstream's address. Must not know the services.

use std::time::Duration;

use crate::admin::{CertificateGauges, Lately};
use crate::registry::Scope;

#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Why larder is less than well, in words.
    pub troubles: Vec<String>,
    /// Nobody is asked anything.
    pub offline: bool,
    /// The daemon was told to stop.
    pub stopping: bool,
    pub uptime: Duration,
    pub listen: Vec<String>,
    /// Where people reach larder, if a proxy stands in front; empty otherwise.
    pub public_url: String,
    pub mirrors: Vec<Scope>,
    pub rules: Rules,
    pub lately: Lately,
    /// GitLab first.
    pub peers: Vec<PeerState>,
    /// Of the certificate that TLS clients are shown.
    pub certificate: Option<CertificateGauges>,
    pub disk: Disk,
    pub downloads: Vec<Transfer>,
    pub stale: Vec<Stale>,
    /// Page requests to upstream under way.
    pub page_fetches: u64,
    /// Rights remembered, roughly.
    pub auth_cache_entries: u64,
}

/// What the configuration says that a person who uses larder feels.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// For how long GitLab's word about a caller holds.
    pub cache_ttl: Duration,
    /// A page of GitLab's younger than this is given without asking.
    pub ttl: Duration,
    /// An older one will do up to this age, if upstream fails.
    pub stale_if_error: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Reachable,
    /// One request finds out whether it is well again, or may.
    Trying,
    /// Left alone for a while.
    Resting,
}

/// One upstream.
#[derive(Clone, Debug)]
pub struct PeerState {
    /// `gitlab`, or a mirror's name.
    pub name: String,
    pub reach: Reach,
    /// For how long it has not been reached.
    pub since: Option<Duration>,
    pub next_try: Option<Duration>,
    pub last_error: Option<LastError>,
}

/// In words without addresses.
#[derive(Clone, Debug)]
pub struct LastError {
    pub words: String,
    pub ago: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Stored, or promised to downloads.
    pub stored_bytes: u64,
    pub budget_bytes: u64,
    /// On the whole disk; none if the system does not tell.
    pub free_bytes: Option<u64>,
    /// Files that made way since the start.
    pub evictions: Option<u64>,
    /// Damaged files that were set aside.
    pub quarantined: Option<u64>,
}

/// A download under way.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// None is GitLab.
    pub mirror: Option<Scope>,
    /// Of a mirror's file only: what is public anyway.
    pub filename: Option<String>,
    pub written_bytes: u64,
    pub size_bytes: Option<u64>,
    pub readers: usize,
    pub since: Duration,
}

/// Pages of one upstream that were lately given although it failed.
#[derive(Clone, Debug)]
pub struct Stale {
    /// None is GitLab.
    pub mirror: Option<Scope>,
    pub pages: usize,
    pub oldest: Option<Duration>,
    pub last: Duration,
}
