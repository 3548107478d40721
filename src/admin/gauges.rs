//! Numbers and states that are looked at, not counted, as values: what a scrape, a readiness probe and a status page
//! show of the services.
//!
//! Instants have become durations from the moment of looking. Must not know the services: who puts the parts together
//! fills it.

use std::time::{Duration, SystemTime};

use crate::values::awaited_parts::AwaitedParts;
use crate::values::histogram::HistogramReading;
use crate::values::validity::Judgement;

#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// The daemon was told to stop and finishes what it has begun.
    pub stopping: bool,
    /// Nobody is asked anything.
    pub offline: bool,
    /// `gitlab` first, then `object_store` (where its signed links lead), then the mirrors.
    pub peers: Vec<PeerGauges>,
    /// Downloads from upstream under way.
    pub downloads: u64,
    pub flights: FlightGauges,
    pub page_fetches: u64,
    /// Wheels whose metadata is to be read ahead.
    pub prefetch_queue: u64,
    pub grants: GrantGauges,
    pub store: StoreGauges,
    pub connections: ConnectionGauges,
    /// Of the certificate that TLS clients are shown now, if there is one.
    pub certificate: Option<CertificateGauges>,
    /// For how long the newest configuration has been refused and an older one is in force.
    pub config_refused: Option<Duration>,
    /// Since the last page that was served stale.
    pub last_stale: Option<Duration>,
    /// Split bundles that were imported in part.
    pub awaited_parts: Vec<AwaitedParts>,
}

/// How an upstream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Well,
    /// One request finds out whether it is well again, or may.
    Trying,
    /// It could not be reached several times in a row, and is left alone for a while.
    Resting,
}

/// One upstream.
#[derive(Clone, Debug, Default)]
pub struct PeerGauges {
    /// A configured name.
    pub name: String,
    pub standing: Standing,
    /// For how long it has not been reached, unless it stands well.
    pub since: Option<Duration>,
    /// Until it is asked again; zero if the next request asks it.
    pub next_try: Option<Duration>,
    pub last_error: Option<LastError>,
    /// For how long it has refused larder's own credential.
    pub refused: Option<Duration>,
    pub requests: Vec<RequestCount>,
    /// By cause.
    pub errors: Vec<(&'static str, u64)>,
    /// Body bytes.
    pub received_bytes: u64,
    /// From the request to the head of the answer.
    pub latency: HistogramReading,
}

/// Requests sent to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestCount {
    pub kind: &'static str,
    pub result: &'static str,
    pub count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastError {
    pub cause: &'static str,
    pub ago: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct FlightGauges {
    /// Readers that came to a download under way.
    pub joined: u64,
    /// Downloads that ended, by how.
    pub ended: Vec<(&'static str, u64)>,
    /// Bodies that were not what their address promises.
    pub wrong_bodies: u64,
    /// Addresses left alone because of such bodies.
    pub shunned: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct GrantGauges {
    /// Rights remembered, roughly.
    pub held: u64,
    pub granted: u64,
    pub refused: u64,
}

#[derive(Clone, Debug, Default)]
pub struct StoreGauges {
    /// Bytes stored or promised to downloads.
    pub bytes: u64,
    pub budget_bytes: u64,
    pub blobs: u64,
    /// Bytes written down of files that are not whole yet.
    pub spool_bytes: u64,
    pub evictions: u64,
    pub evicted_bytes: u64,
    /// Evictions of what somebody had read within a day before.
    pub evictions_of_recent: u64,
    /// Damaged files that were set aside.
    pub quarantined: u64,
    /// Bodies that were found without a byte.
    pub emptied: u64,
    /// Writes that failed.
    pub failures: u64,
    /// The last file did not fit, whatever made way.
    pub full: bool,
    pub disk: Option<DiskTrouble>,
}

/// What the last attempt to write met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskTrouble {
    pub kind: DiskTroubleKind,
    pub since: Duration,
    /// In the system's words, without a path.
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskTroubleKind {
    Full,
    ReadOnly,
    Failing,
}

#[derive(Clone, Debug, Default)]
pub struct ConnectionGauges {
    pub open: u64,
    pub accepted: u64,
    /// Turned away, by why.
    pub refused: Vec<(&'static str, u64)>,
}

/// A certificate, and what its dates mean now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateGauges {
    pub not_after: SystemTime,
    pub judgement: Judgement,
}
