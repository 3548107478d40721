//! The status as it is told: the page and `/-/status` are two spellings of one [`Report`].
//!
//! Pure: an [`Overview`] in, words and numbers out. Every number has its unit in its name. The JSON
//! is described in `docs/status.md`; [`SCHEMA`] moves when a name or a meaning in it changes, not
//! when something is added. Must not know HTTP or HTML.

use std::cmp::Reverse;

use serde::Serialize;

use super::overview::{Lifetimes, Overview, StatusSettings};
use super::parent_report::ParentReport;
use super::policy_report::{PoliciesReport, ProjectsReport, UploadDatesReport};
use super::shared_store_report::SharedStoreReport;
use super::upstream_report::UpstreamReport;
use super::view_report::ViewReport;
use super::words::{counted, share, time};
use crate::admin::metrics::{Failures, Served, Window};
use crate::admin::{CertificateReading, Health};
use crate::file::DownloadProgress;
use crate::index::{GivenPages, PublicIndex};
use crate::registry::Scope;
use crate::values::byte_size::in_units;

pub(super) const SCHEMA: u32 = 1;

/// Downloads that are reported one by one; the rest is a number.
const DOWNLOADS_MAX: usize = 50;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub schema: u32,
    pub state: StateReport,
    pub version: &'static str,
    pub uptime_seconds: u64,
    pub listen: Vec<String>,
    pub offline: bool,
    pub rules: Lifetimes,
    pub history: HistoryReport,
    pub upstreams: Vec<UpstreamReport>,
    /// Null without a shared store.
    pub shared_store: Option<SharedStoreReport>,
    /// None without a parent, and offline.
    pub parents: Vec<ParentReport>,
    /// Their names, by which any client can use them: a larder below takes them over.
    pub mirrors: Vec<String>,
    /// Null without TLS.
    pub certificate: Option<CertificateReport>,
    pub disk: DiskReport,
    pub downloads: DownloadsReport,
    pub stale: Vec<StaleReport>,
    /// Of pages with links that lead past larder.
    pub past: Vec<PastReport>,
    /// Null unless GitLab's redirects to a public index are followed.
    pub public_index: Option<PublicIndexReport>,
    /// The newest first; at most 20.
    pub failures: Vec<FailureReport>,
    /// Of the files of GitLab's pages.
    pub upload_dates: UploadDatesReport,
    pub policies: PoliciesReport,
    pub projects: ProjectsReport,
    /// By name.
    pub views: Vec<ViewReport>,
    pub page_fetches: u64,
    pub auth_cache_entries: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct StateReport {
    /// `ok`, `degraded`, `offline` or `stopping`.
    pub word: &'static str,
    pub sentence: String,
    pub reasons: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct HistoryReport {
    pub hour: Period,
    pub day: Period,
    pub week: Period,
}

#[derive(Debug, Serialize)]
pub(super) struct Period {
    pub piece_seconds: u64,
    #[serde(flatten)]
    pub sum: Served,
    /// Hits among requests, 0 to 1; null without requests.
    pub hit_ratio: Option<f64>,
    /// The oldest first.
    pub pieces: Vec<Served>,
}

#[derive(Debug, Serialize)]
pub(super) struct CertificateReport {
    /// `good`, `ends_soon`, `expired` or `not_yet`.
    pub state: &'static str,
    /// RFC 3339.
    pub not_after: String,
    /// Zero once it has expired; null before it is valid.
    pub left_seconds: Option<u64>,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct DiskReport {
    pub stored_bytes: u64,
    pub budget_bytes: u64,
    pub free_bytes: Option<u64>,
    pub evictions: u64,
    pub quarantined: Option<u64>,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct DownloadsReport {
    pub running: usize,
    /// The longest running first; at most 50.
    pub listed: Vec<DownloadReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct DownloadReport {
    /// `gitlab`, or a mirror's name.
    pub upstream: String,
    /// What it is, in words that tell no private name.
    pub what: String,
    /// Null for GitLab's files: their names are for those who may read them.
    pub filename: Option<String>,
    pub written_bytes: u64,
    pub size_bytes: Option<u64>,
    pub readers: usize,
    pub age_seconds: u64,
    /// On the average since it began.
    pub bytes_per_second: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct StaleReport {
    /// `gitlab`, or a mirror's name.
    pub upstream: String,
    pub pages: usize,
    pub oldest_seconds: Option<u64>,
    pub last_given_seconds_ago: u64,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PastReport {
    /// `gitlab`, or a mirror's name.
    pub upstream: String,
    pub pages: usize,
    pub last_given_seconds_ago: u64,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PublicIndexReport {
    /// Null until GitLab has pointed to it.
    pub url: Option<String>,
    /// The name under which its files are served.
    pub mirror: Option<String>,
    /// Where a later redirect led, which is not followed; null if none did.
    pub other: Option<String>,
    pub sentence: String,
}

/// Requests that failed alike.
#[derive(Debug, Serialize)]
pub(super) struct FailureReport {
    /// `gitlab`, or a mirror's name; null where no packages were asked for.
    pub upstream: Option<String>,
    /// As in the metrics: `page`, `file`, …
    pub route: &'static str,
    pub status: u16,
    /// One word of a closed set, as in the log.
    pub cause: &'static str,
    /// Without a name of GitLab's.
    pub reason: String,
    pub count: u64,
    pub last_seconds_ago: u64,
    /// Of the last of them; null if the client gave it.
    pub request_id: Option<String>,
}

impl Report {
    pub(super) fn of(overview: &Overview, settings: &StatusSettings) -> Self {
        let readings = &overview.readings;
        // People know the object storage as a part of GitLab.
        let peers = readings
            .peers
            .iter()
            .filter(|peer| peer.name != "object_store");
        let offline = readings.offline;
        Self {
            schema: SCHEMA,
            state: StateReport::of(&Health::of(readings)),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: overview.uptime.as_secs(),
            listen: settings.listen.clone(),
            offline,
            rules: settings.lifetimes,
            history: HistoryReport {
                hour: Period::of(&overview.recent.hour),
                day: Period::of(&overview.recent.day),
                week: Period::of(&overview.recent.week),
            },
            upstreams: peers
                .map(|peer| UpstreamReport::of(peer, offline))
                .collect(),
            shared_store: readings
                .files
                .shared_store
                .as_ref()
                .map(SharedStoreReport::of),
            parents: readings.parents.iter().map(ParentReport::of).collect(),
            mirrors: settings.mirrors.iter().map(ToString::to_string).collect(),
            certificate: readings.certificate.map(CertificateReport::of),
            disk: DiskReport::of(overview),
            downloads: DownloadsReport::of(&overview.downloads),
            stale: overview.stale.iter().map(StaleReport::of).collect(),
            past: readings.past.iter().map(PastReport::of).collect(),
            public_index: readings.public_index.as_ref().map(PublicIndexReport::of),
            failures: overview.failures.iter().map(FailureReport::of).collect(),
            upload_dates: UploadDatesReport::of(readings.dates),
            policies: PoliciesReport::of(&readings.policies, readings.advisories.as_ref()),
            projects: ProjectsReport::of(&readings.pages),
            views: readings.views.iter().map(ViewReport::of).collect(),
            page_fetches: readings.page_fetches,
            auth_cache_entries: readings.grants.held,
        }
    }
}

impl StateReport {
    fn of(health: &Health) -> Self {
        let reasons: Vec<String> = health.reasons.iter().map(ToString::to_string).collect();
        let (word, sentence) = match reasons.as_slice() {
            _ if health.stopping => (
                "stopping",
                "Stopping: what has begun is finished, nothing new is taken.".to_owned(),
            ),
            [] if health.offline => (
                "offline",
                "Offline, as configured: larder serves what it holds and asks no upstream."
                    .to_owned(),
            ),
            [] => ("ok", "All is well.".to_owned()),
            [one] => ("degraded", format!("Degraded: {one}.")),
            all => ("degraded", format!("Degraded, for {} reasons.", all.len())),
        };
        Self {
            word,
            sentence,
            reasons,
        }
    }
}

impl Period {
    fn of(window: &Window) -> Self {
        let sum = window.sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let hit_ratio = (sum.requests > 0).then(|| sum.hits as f64 / sum.requests as f64);
        Self {
            piece_seconds: window.piece.as_secs(),
            sum,
            hit_ratio,
            pieces: window.pieces.clone(),
        }
    }
}

impl CertificateReport {
    fn of(certificate: CertificateReading) -> Self {
        let not_after = certificate.not_after_text();
        let judgement = certificate.judgement;
        Self {
            state: judgement.word(),
            left_seconds: judgement.left().map(|left| left.as_secs()),
            sentence: format!("It {judgement} ({not_after})"),
            not_after,
        }
    }
}

impl DiskReport {
    fn of(overview: &Overview) -> Self {
        let store = &overview.readings.store;
        let share = share(store.bytes, store.budget_bytes);
        let share = share.unwrap_or_else(|| "nothing".to_owned());
        let stored = in_units(store.bytes);
        let budget = in_units(store.budget_bytes);
        Self {
            stored_bytes: store.bytes,
            budget_bytes: store.budget_bytes,
            free_bytes: overview.free_bytes,
            evictions: store.evictions,
            quarantined: overview.quarantined,
            sentence: format!("{stored} of {budget} used, {share}"),
        }
    }
}

impl DownloadsReport {
    fn of(downloads: &[DownloadProgress]) -> Self {
        let mut longest_first: Vec<&DownloadProgress> = downloads.iter().collect();
        longest_first.sort_by_key(|download| Reverse(download.since));
        longest_first.truncate(DOWNLOADS_MAX);
        Self {
            running: downloads.len(),
            listed: longest_first.into_iter().map(DownloadReport::of).collect(),
        }
    }
}

impl DownloadReport {
    /// A file's name is shown only if it is a mirror's: what GitLab has is for callers who may read
    /// it.
    fn of(download: &DownloadProgress) -> Self {
        let scope = &download.file.scope;
        let filename = match scope.is_mirror() {
            true => Some(download.file.filename.to_string()),
            false => None,
        };
        let what = match &filename {
            Some(name) => name.clone(),
            None => "a file of a GitLab project".to_owned(),
        };
        let millis = download.since.as_millis().max(1);
        let bytes_per_second = u128::from(download.written_bytes) * 1000 / millis;
        Self {
            upstream: upstream_name(Some(scope)),
            what,
            filename,
            written_bytes: download.written_bytes,
            size_bytes: download.size_bytes,
            readers: download.readers,
            age_seconds: download.since.as_secs(),
            bytes_per_second: u64::try_from(bytes_per_second).unwrap_or(u64::MAX),
        }
    }
}

impl StaleReport {
    fn of(stale: &GivenPages) -> Self {
        let upstream = upstream_name(stale.mirror.as_ref());
        let pages = counted(stale.pages as u64, "page", "pages");
        let oldest = match stale.oldest {
            Some(age) => format!("the oldest confirmed {} before", time(age)),
            None => "stored by an earlier run".to_owned(),
        };
        let last = time(stale.last);
        Self {
            sentence: format!("{pages} of {upstream}, {oldest}; last given {last} ago"),
            upstream,
            pages: stale.pages,
            oldest_seconds: stale.oldest.map(|age| age.as_secs()),
            last_given_seconds_ago: stale.last.as_secs(),
        }
    }
}

impl PastReport {
    fn of(given: &GivenPages) -> Self {
        let upstream = upstream_name(given.mirror.as_ref());
        let pages = counted(given.pages as u64, "page", "pages");
        let last = time(given.last);
        Self {
            sentence: format!("{pages} of {upstream}; last given {last} ago"),
            upstream,
            pages: given.pages,
            last_given_seconds_ago: given.last.as_secs(),
        }
    }
}

impl PublicIndexReport {
    fn of(index: &PublicIndex) -> Self {
        let mut sentence = match &index.url {
            Some(url) => format!("{url}, learned from GitLab's redirects"),
            None => "not known yet: GitLab's first redirect to it tells".to_owned(),
        };
        if let Some(other) = &index.other {
            sentence += &format!("; a redirect to {other} is not followed");
        }
        Self {
            url: index.url.clone(),
            mirror: index.mirror.as_ref().map(ToString::to_string),
            other: index.other.clone(),
            sentence,
        }
    }
}

impl FailureReport {
    fn of(failures: &Failures) -> Self {
        let request = &failures.request;
        Self {
            upstream: request.upstream.clone(),
            route: request.route,
            status: request.status,
            cause: request.cause,
            reason: request.reason.clone(),
            count: failures.count,
            last_seconds_ago: failures.ago.as_secs(),
            request_id: request.id.as_ref().map(ToString::to_string),
        }
    }
}

/// `gitlab`, or the name of the scope's mirror.
fn upstream_name(scope: Option<&Scope>) -> String {
    match scope {
        Some(scope) if scope.is_mirror() => scope.to_string(),
        _ => "gitlab".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::admin::metrics::Recent;
    use crate::admin::{Readings, Reason};
    use crate::registry::{FileRef, Route};
    use crate::values::clock;
    use crate::values::digest::Digest;

    fn report(downloads: Vec<DownloadProgress>) -> Report {
        let second = Duration::from_secs(1);
        let window = Window {
            piece: 60 * second,
            pieces: vec![Served::default()],
        };
        let overview = Overview {
            readings: Readings::default(),
            uptime: second,
            recent: Recent {
                hour: window.clone(),
                day: window.clone(),
                week: window,
            },
            free_bytes: None,
            quarantined: None,
            downloads,
            stale: Vec::new(),
            failures: Vec::new(),
        };
        let settings = StatusSettings {
            begun: clock::now(),
            listen: Vec::new(),
            public_url: String::new(),
            path_prefix: String::new(),
            mirrors: Vec::new(),
            lifetimes: Lifetimes {
                auth_cache_ttl_seconds: 1,
                ttl_seconds: 1,
                stale_if_error_seconds: 1,
            },
        };
        Report::of(&overview, &settings)
    }

    fn download(mirror: bool, written_bytes: u64, seconds: u64) -> DownloadProgress {
        let digest = "0".repeat(64);
        let path = match mirror {
            true => "/pypi/packages/kestrel-1.0.tar.gz".to_owned(),
            false => {
                format!("/api/v4/projects/42/packages/pypi/files/{digest}/kestrel-1.0.tar.gz")
            }
        };
        let file = match Route::from_path(&path) {
            Ok(Route::File(file)) => file,
            Ok(Route::Mirrored(path)) => FileRef::mirrored(&path, Digest::of(b"")),
            other => panic!("{path}: {other:?}"),
        };
        DownloadProgress {
            file,
            written_bytes,
            size_bytes: None,
            readers: 1,
            since: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn the_state_is_said_in_words() {
        let degraded = |details: &[&str]| {
            let mut health = Health::of(&Readings::default());
            for detail in details {
                health
                    .reasons
                    .push(Reason::new("store_full", (*detail).to_owned()));
            }
            health
        };
        let state = |details: &[&str]| StateReport::of(&degraded(details));
        assert_eq!(state(&[]).sentence, "All is well.");
        assert_eq!(
            state(&["cannot reach gitlab"]).sentence,
            "Degraded: cannot reach gitlab."
        );
        let two = state(&["one", "two"]);
        assert_eq!(two.word, "degraded");
        assert_eq!(two.sentence, "Degraded, for 2 reasons.");
        assert_eq!(two.reasons.len(), 2);
        let offline = Health {
            offline: true,
            ..degraded(&[])
        };
        assert_eq!(StateReport::of(&offline).word, "offline");
        let stopping = Health {
            stopping: true,
            ..degraded(&["one"])
        };
        assert_eq!(StateReport::of(&stopping).word, "stopping");
    }

    proptest! {
        #[test]
        fn no_download_of_gitlabs_is_named_and_the_list_is_bounded(
            downloads in prop::collection::vec((any::<bool>(), any::<u64>(), 0..u64::MAX >> 10), 0..120),
        ) {
            let downloads: Vec<_> = downloads.into_iter().map(|(mirror, bytes, age)| download(mirror, bytes, age)).collect();
            let running = downloads.len();
            let report = report(downloads).downloads;
            prop_assert_eq!(report.running, running);
            prop_assert_eq!(report.listed.len(), running.min(DOWNLOADS_MAX));
            for download in &report.listed {
                let named = format!("{download:?}").contains("kestrel");
                prop_assert_eq!(named, download.upstream == "pypi");
            }
        }
    }
}
