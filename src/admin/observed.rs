//! The components that the admin endpoints look at, and one look at all of them.
//!
//! Must not judge what it sees.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::metrics::Metrics;
use super::readings::{CertificateReading, Readings};
use crate::access::Access;
use crate::file::Files;
use crate::index::Pages;
use crate::store::{AdvisoryRecords, Store};
use crate::upstream::{ParentState, Upstream};
use crate::values::shutdown::Shutdown;
use crate::values::validity::Validity;

/// Tells the dates of the certificate that TLS clients are shown, if there is one.
pub type CertificateDates = Box<dyn Fn() -> Option<Validity> + Send + Sync>;

/// The components that the endpoints look at.
pub struct Observed {
    pub access: Arc<Access>,
    pub files: Arc<Files>,
    pub pages: Arc<Pages>,
    pub store: Arc<Store>,
    pub upstream: Arc<Upstream>,
    /// How the parents stand, if there are any.
    pub parents: Arc<ParentState>,
    /// What the server counts.
    pub metrics: Arc<Metrics>,
    /// What is known to be bad, if records are configured.
    pub advisories: Option<Arc<AdvisoryRecords>>,
    pub certificate: CertificateDates,
    /// Tells whether the daemon is stopping.
    pub shutdown: Shutdown,
}

impl Observed {
    pub(super) fn read(&self, now: Instant, wall: SystemTime) -> Readings {
        let validity = (self.certificate)();
        Readings {
            stopping: self.shutdown.has_begun(),
            offline: self.upstream.is_offline(),
            gitlab_fault: self.upstream.gitlab_fault(),
            peers: self.upstream.peers(),
            parents: self.parents.read(),
            files: self.files.reading(now),
            downloads: self.files.downloading() as u64,
            prefetch_queue: self.files.prefetching() as u64,
            page_fetches: self.pages.fetching() as u64,
            dates: self.pages.dates(),
            policies: self.pages.policies(),
            pages: self.pages.page_counts(),
            views: self.pages.views(),
            grants: self.access.reading(),
            store: self.store.reading(now),
            connections: self.metrics.connections.read(),
            certificate: validity.map(|validity| CertificateReading {
                not_after: validity.until(),
                judgement: validity.judge(wall),
            }),
            advisories: self
                .advisories
                .as_ref()
                .map(|records| records.reading(wall)),
            config_refused: self.metrics.config_refused_for(now),
            stale_answers: self.metrics.stale_answers(now),
            past: self.pages.past(now),
            public_index: self.pages.public_index(),
            awaited_parts: self.store.awaited.all(wall),
        }
    }
}
