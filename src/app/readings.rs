//! What the services say of themselves, as the values that telemetry shows.
//!
//! Must not judge, and must not count.

use std::sync::Arc;

use crate::access::Access;
use crate::admin::{
    CertificateGauges, DiskTrouble, DiskTroubleKind, FlightGauges, Gauges, GrantGauges, LastError,
    PeerGauges, RequestCount, Standing, StoreGauges,
};
use crate::file::Files;
use crate::index::Pages;
use crate::server::Certificates;
use crate::store::{DiskFault, Store, StoreReading};
use crate::upstream::{BreakerState, PeerReading, Upstream};
use crate::values::clock;

/// Whoever has something to say.
pub(super) struct Sources {
    pub access: Arc<Access>,
    pub files: Arc<Files>,
    pub pages: Arc<Pages>,
    pub store: Arc<Store>,
    pub upstream: Arc<Upstream>,
    /// What TLS clients are shown.
    pub certificates: Option<Arc<Certificates>>,
}

impl Sources {
    pub(super) fn look(&self) -> Gauges {
        let now = clock::now();
        let (files, grants) = (self.files.reading(now), self.access.reading());
        Gauges {
            offline: self.upstream.is_offline(),
            peers: self.upstream.peers().map(peer).collect(),
            downloads: self.files.downloading() as u64,
            flights: FlightGauges {
                joined: files.joined,
                ended: files.ended,
                wrong_bodies: files.wrong_bodies,
                shunned: files.blocked,
            },
            page_fetches: self.pages.fetching() as u64,
            prefetch_queue: self.files.prefetching() as u64,
            grants: GrantGauges {
                held: grants.held,
                granted: grants.granted,
                refused: grants.refused,
            },
            store: store(self.store.reading(now)),
            awaited_parts: self.store.awaited.all(clock::wall()),
            certificate: self.certificates.as_deref().and_then(certificate),
            ..Gauges::default()
        }
    }
}

fn certificate(shown: &Certificates) -> Option<CertificateGauges> {
    let validity = shown.validity()?;
    Some(CertificateGauges {
        not_after: validity.until(),
        judgement: validity.judge(clock::wall()),
    })
}

fn peer(read: PeerReading) -> PeerGauges {
    let requests = read
        .requests
        .into_iter()
        .map(|(kind, result, count)| RequestCount {
            kind,
            result,
            count,
        });
    PeerGauges {
        name: read.name,
        standing: match read.condition.state {
            BreakerState::Closed => Standing::Well,
            BreakerState::HalfOpen => Standing::Trying,
            BreakerState::Open => Standing::Resting,
        },
        since: read.condition.since,
        next_try: read.condition.next_try,
        refused: read.refused,
        last_error: read.last_fault.map(|(cause, ago)| LastError { cause, ago }),
        requests: requests.collect(),
        errors: read.faults,
        received_bytes: read.received_bytes,
        latency: read.latency,
    }
}

fn store(read: StoreReading) -> StoreGauges {
    let disk = read.fault.map(|(ailment, since, why)| DiskTrouble {
        kind: match ailment {
            DiskFault::Full => DiskTroubleKind::Full,
            DiskFault::ReadOnly => DiskTroubleKind::ReadOnly,
            DiskFault::Failing => DiskTroubleKind::Failing,
        },
        since,
        why,
    });
    StoreGauges {
        bytes: read.bytes,
        budget_bytes: read.budget_bytes,
        blobs: read.blobs,
        spool_bytes: read.spool_bytes,
        evictions: read.evictions,
        evicted_bytes: read.evicted_bytes,
        evictions_of_recent: read.evictions_of_recent,
        quarantined: read.quarantined,
        emptied: read.emptied,
        failures: read.failures,
        full: read.full,
        disk,
    }
}
