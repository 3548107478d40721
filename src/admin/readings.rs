//! What each component says of itself at one moment: the values that a scrape, a readiness probe
//! and the status page show.
//!
//! Instants have become durations up to that moment. Must not judge, and must not count.

use std::time::{Duration, SystemTime};

use super::metrics::ConnectionReading;
use crate::access::GrantReading;
use crate::file::FilesReading;
use crate::index::{DatesReading, GivenPages, PageCountsReading, PublicIndex, ViewReading};
use crate::registry::policy::PolicyReading;
use crate::store::{AdvisoryReading, StoreReading};
use crate::upstream::{ParentReading, PeerReading};
use crate::values::awaited_parts::AwaitedParts;
use crate::values::validity::Judgement;

/// Stale answers that are remembered one by one.
pub const STALE_ANSWERS_KEPT: usize = 10;

#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// The daemon was told to stop and finishes what it has begun.
    pub stopping: bool,
    /// No upstream is asked.
    pub offline: bool,
    /// What is wrong with `gitlab.url`, as the question at the start found.
    pub gitlab_fault: Option<String>,
    /// `gitlab` first, then `object_store` (where its signed links lead), then the mirrors.
    pub peers: Vec<PeerReading>,
    /// None without a parent, and offline.
    pub parents: Vec<ParentReading>,
    pub files: FilesReading,
    /// Downloads from upstream under way.
    pub downloads: u64,
    /// Wheels whose metadata is to be prefetched.
    pub prefetch_queue: u64,
    pub page_fetches: u64,
    /// Of the files of GitLab's pages.
    pub dates: DatesReading,
    pub policies: PolicyReading,
    /// Of upstream's pages.
    pub pages: PageCountsReading,
    /// By name.
    pub views: Vec<ViewReading>,
    pub grants: GrantReading,
    pub store: StoreReading,
    pub connections: ConnectionReading,
    /// Of the certificate that TLS clients are shown now, if there is one.
    pub certificate: Option<CertificateReading>,
    /// None if no records are configured.
    pub advisories: Option<AdvisoryReading>,
    /// For how long the newest configuration has been refused and an older one is active.
    pub config_refused: Option<Duration>,
    /// Since each of the last pages that were served stale, the newest last.
    pub stale_answers: Vec<Duration>,
    /// The pages that were lately given with links that lead past larder, by upstream.
    pub past: Vec<GivenPages>,
    /// Where GitLab's redirects to a public index lead; none if they are not followed.
    pub public_index: Option<PublicIndex>,
    /// Split bundles that were imported in part.
    pub awaited_parts: Vec<AwaitedParts>,
}

/// A certificate, and what its dates mean now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateReading {
    pub not_after: SystemTime,
    pub judgement: Judgement,
}

impl CertificateReading {
    /// The last moment at which it is valid (RFC 3339).
    pub(super) fn not_after_text(&self) -> String {
        humantime::format_rfc3339_seconds(self.not_after).to_string()
    }
}
