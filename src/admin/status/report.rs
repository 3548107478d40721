//! The status as it is told: the page and `/-/status` are two spellings of one [`Report`].
//!
//! Pure: a [`Snapshot`] in, words and numbers out. Every number has its unit in its name. The JSON is described in
//! `docs/status.md`; [`SCHEMA`] moves when a name or a meaning in it changes, not when something is added. Must not know
//! HTTP or HTML.

use std::time::Duration;

use serde::Serialize;

use super::snapshot::{Disk, PeerState, Reach, Snapshot, Stale, Transfer};
use super::words::{counted, share, size, time};
use crate::admin::{CertificateGauges, Served, Stretch};
use crate::registry::Scope;

pub(super) const SCHEMA: u32 = 1;

/// Transfers that are told one by one; the rest is a number.
const TRANSFERS_MAX: usize = 50;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub schema: u32,
    pub state: State,
    pub version: &'static str,
    pub uptime_seconds: u64,
    pub listen: Vec<String>,
    pub offline: bool,
    pub rules: RulesTold,
    pub history: HistoryTold,
    pub upstreams: Vec<Upstream>,
    /// Null without TLS.
    pub certificate: Option<CertificateTold>,
    pub disk: DiskTold,
    pub downloads: Downloads,
    pub stale: Vec<StaleTold>,
    pub page_fetches: u64,
    pub auth_cache_entries: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct State {
    /// `ok`, `degraded`, `offline` or `stopping`.
    pub word: &'static str,
    pub sentence: String,
    pub reasons: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct RulesTold {
    pub auth_cache_ttl_seconds: u64,
    pub ttl_seconds: u64,
    pub stale_if_error_seconds: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct HistoryTold {
    pub hour: Period,
    pub day: Period,
    pub week: Period,
}

#[derive(Debug, Serialize)]
pub(super) struct Period {
    pub piece_seconds: u64,
    #[serde(flatten)]
    pub sum: Counts,
    /// Hits among requests, 0 to 1; null without requests.
    pub hit_ratio: Option<f64>,
    /// The oldest first.
    pub pieces: Vec<Counts>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Counts {
    pub requests: u64,
    pub hits: u64,
    pub sent_bytes: u64,
    pub saved_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Upstream {
    pub name: String,
    /// `reachable`, `half_open`, `circuit_open`, or `not_asked` offline.
    pub state: &'static str,
    pub sentence: String,
    pub since_seconds: Option<u64>,
    pub next_try_seconds: Option<u64>,
    pub last_error: Option<String>,
    pub last_error_age_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct CertificateTold {
    /// `good`, `ends_soon`, `expired` or `not_yet`.
    pub state: &'static str,
    /// RFC 3339.
    pub not_after: String,
    /// Zero once it has expired; null before it is valid.
    pub left_seconds: Option<u64>,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct DiskTold {
    pub stored_bytes: u64,
    pub budget_bytes: u64,
    pub free_bytes: Option<u64>,
    pub evictions: Option<u64>,
    pub quarantined: Option<u64>,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Downloads {
    pub running: usize,
    /// The longest running first; at most 50.
    pub listed: Vec<Download>,
}

#[derive(Debug, Serialize)]
pub(super) struct Download {
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
pub(super) struct StaleTold {
    /// `gitlab`, or a mirror's name.
    pub upstream: String,
    pub pages: usize,
    pub oldest_seconds: Option<u64>,
    pub last_given_seconds_ago: u64,
    pub sentence: String,
}

impl Report {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self {
            schema: SCHEMA,
            state: State::of(snapshot),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: snapshot.uptime.as_secs(),
            listen: snapshot.listen.clone(),
            offline: snapshot.offline,
            rules: RulesTold {
                auth_cache_ttl_seconds: snapshot.rules.cache_ttl.as_secs(),
                ttl_seconds: snapshot.rules.ttl.as_secs(),
                stale_if_error_seconds: snapshot.rules.stale_if_error.as_secs(),
            },
            history: HistoryTold {
                hour: Period::of(&snapshot.lately.hour),
                day: Period::of(&snapshot.lately.day),
                week: Period::of(&snapshot.lately.week),
            },
            upstreams: snapshot
                .peers
                .iter()
                .map(|peer| Upstream::of(peer, snapshot.offline))
                .collect(),
            certificate: snapshot.certificate.map(CertificateTold::of),
            disk: DiskTold::of(&snapshot.disk),
            downloads: Downloads::of(&snapshot.downloads),
            stale: snapshot.stale.iter().map(StaleTold::of).collect(),
            page_fetches: snapshot.page_fetches,
            auth_cache_entries: snapshot.auth_cache_entries,
        }
    }
}

impl State {
    fn of(snapshot: &Snapshot) -> Self {
        let reasons = snapshot.troubles.clone();
        let (word, sentence) = match reasons.as_slice() {
            _ if snapshot.stopping => (
                "stopping",
                "Stopping: what has begun is finished, nothing new is taken.".to_owned(),
            ),
            [] if snapshot.offline => (
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
    fn of(stretch: &Stretch) -> Self {
        let sum = stretch.sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let hit_ratio = (sum.requests > 0).then(|| sum.hits as f64 / sum.requests as f64);
        Self {
            piece_seconds: stretch.piece.as_secs(),
            sum: Counts::of(sum),
            hit_ratio,
            pieces: stretch.pieces.iter().copied().map(Counts::of).collect(),
        }
    }
}

impl Counts {
    fn of(served: Served) -> Self {
        let Served {
            requests,
            hits,
            sent_bytes,
            saved_bytes,
        } = served;
        Self {
            requests,
            hits,
            sent_bytes,
            saved_bytes,
        }
    }
}

impl Upstream {
    fn of(peer: &PeerState, offline: bool) -> Self {
        let since = peer
            .since
            .map(|since| format!(" for {}", time(since)))
            .unwrap_or_default();
        let next = match peer.next_try {
            Some(Duration::ZERO) | None => "; the next request tries it".to_owned(),
            Some(wait) => format!("; next try in {}", time(wait)),
        };
        let (state, sentence) = match peer.reach {
            _ if offline => ("not_asked", "Not asked: larder is offline".to_owned()),
            Reach::Reachable => ("reachable", "Reachable, as far as is known".to_owned()),
            Reach::Trying => (
                "half_open",
                format!("Unreachable{since}; it is being tried again"),
            ),
            Reach::Resting => (
                "circuit_open",
                format!("Unreachable{since}: the circuit breaker is open{next}"),
            ),
        };
        Self {
            name: peer.name.clone(),
            state,
            sentence,
            since_seconds: peer.since.map(|since| since.as_secs()),
            next_try_seconds: peer.next_try.map(|wait| wait.as_secs()),
            last_error: peer.last_error.as_ref().map(|error| error.words.clone()),
            last_error_age_seconds: peer.last_error.as_ref().map(|error| error.ago.as_secs()),
        }
    }
}

impl CertificateTold {
    fn of(shown: CertificateGauges) -> Self {
        let not_after = humantime::format_rfc3339_seconds(shown.not_after).to_string();
        Self {
            state: shown.judgement.word(),
            left_seconds: shown.judgement.left().map(|left| left.as_secs()),
            sentence: format!("It {} ({not_after})", shown.judgement),
            not_after,
        }
    }
}

impl DiskTold {
    fn of(disk: &Disk) -> Self {
        let Disk {
            stored_bytes,
            budget_bytes,
            free_bytes,
            evictions,
            quarantined,
        } = *disk;
        let share = share(stored_bytes, budget_bytes).unwrap_or_else(|| "nothing".to_owned());
        let sentence = format!(
            "{} of {} used, {share}",
            size(stored_bytes),
            size(budget_bytes)
        );
        Self {
            stored_bytes,
            budget_bytes,
            free_bytes,
            evictions,
            quarantined,
            sentence,
        }
    }
}

impl Downloads {
    fn of(transfers: &[Transfer]) -> Self {
        let mut longest_first: Vec<&Transfer> = transfers.iter().collect();
        longest_first.sort_by_key(|transfer| std::cmp::Reverse(transfer.since));
        let listed = longest_first
            .into_iter()
            .take(TRANSFERS_MAX)
            .map(Download::of)
            .collect();
        Self {
            running: transfers.len(),
            listed,
        }
    }
}

impl Download {
    fn of(transfer: &Transfer) -> Self {
        let upstream = upstream_name(transfer.mirror.as_ref());
        // Whatever the snapshot holds: a name in GitLab is never told.
        let filename = transfer
            .filename
            .clone()
            .filter(|_| transfer.mirror.is_some());
        let what = match (&filename, transfer.mirror.is_some()) {
            (Some(name), _) => name.clone(),
            (None, true) => format!("a file of the mirror {upstream}"),
            (None, false) => "a file of a GitLab project".to_owned(),
        };
        let millis = transfer.since.as_millis().max(1);
        let bytes_per_second = u128::from(transfer.written_bytes) * 1000 / millis;
        Self {
            upstream,
            what,
            filename,
            written_bytes: transfer.written_bytes,
            size_bytes: transfer.size_bytes,
            readers: transfer.readers,
            age_seconds: transfer.since.as_secs(),
            bytes_per_second: u64::try_from(bytes_per_second).unwrap_or(u64::MAX),
        }
    }
}

impl StaleTold {
    fn of(stale: &Stale) -> Self {
        let upstream = upstream_name(stale.mirror.as_ref());
        let pages = counted(stale.pages as u64, "page", "pages");
        let oldest = match stale.oldest {
            Some(age) => format!("the oldest confirmed {} before", time(age)),
            None => "stored by an earlier run".to_owned(),
        };
        let sentence = format!(
            "{pages} of {upstream}, {oldest}; last given {} ago",
            time(stale.last)
        );
        Self {
            upstream,
            pages: stale.pages,
            oldest_seconds: stale.oldest.map(|age| age.as_secs()),
            last_given_seconds_ago: stale.last.as_secs(),
            sentence,
        }
    }
}

fn upstream_name(mirror: Option<&Scope>) -> String {
    mirror.map_or_else(|| "gitlab".to_owned(), Scope::to_string)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::snapshot::Rules;
    use super::*;
    use crate::admin::Lately;

    fn snapshot(downloads: Vec<Transfer>, troubles: &[&str]) -> Snapshot {
        let stretch = Stretch {
            piece: Duration::from_secs(60),
            pieces: vec![Served::default()],
        };
        let second = Duration::from_secs(1);
        Snapshot {
            troubles: troubles.iter().map(ToString::to_string).collect(),
            offline: false,
            stopping: false,
            uptime: second,
            listen: Vec::new(),
            public_url: String::new(),
            mirrors: Vec::new(),
            rules: Rules {
                cache_ttl: second,
                ttl: second,
                stale_if_error: second,
            },
            lately: Lately {
                hour: stretch.clone(),
                day: stretch.clone(),
                week: stretch,
            },
            peers: Vec::new(),
            certificate: None,
            disk: Disk::default(),
            downloads,
            stale: Vec::new(),
            page_fetches: 0,
            auth_cache_entries: 0,
        }
    }

    fn transfer(mirror: bool, written_bytes: u64, seconds: u64) -> Transfer {
        Transfer {
            mirror: Scope::mirror("pypi").filter(|_| mirror),
            filename: Some("kestrel-1.0.tar.gz".to_owned()),
            written_bytes,
            size_bytes: None,
            readers: 1,
            since: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn the_state_is_said_in_words() {
        let told = |troubles: &[&str]| State::of(&snapshot(Vec::new(), troubles));
        assert_eq!(told(&[]).sentence, "All is well.");
        assert_eq!(
            told(&["cannot reach gitlab"]).sentence,
            "Degraded: cannot reach gitlab."
        );
        let two = told(&["one", "two"]);
        assert_eq!(
            (two.word, &*two.sentence, two.reasons.len()),
            ("degraded", "Degraded, for 2 reasons.", 2)
        );
        let offline = Snapshot {
            offline: true,
            ..snapshot(Vec::new(), &[])
        };
        assert_eq!(State::of(&offline).word, "offline");
        let stopping = Snapshot {
            stopping: true,
            ..snapshot(Vec::new(), &["one"])
        };
        assert_eq!(State::of(&stopping).word, "stopping");
    }

    #[test]
    fn a_resting_upstream_is_told_with_its_last_error_and_next_try() {
        let peer = PeerState {
            name: "gitlab".to_owned(),
            reach: Reach::Resting,
            since: Some(Duration::from_secs(130)),
            next_try: Some(Duration::from_secs(8)),
            last_error: None,
        };
        let words = Upstream::of(&peer, false).sentence;
        assert_eq!(
            words,
            "Unreachable for 2 min 10 s: the circuit breaker is open; next try in 8 s"
        );
        assert_eq!(Upstream::of(&peer, true).state, "not_asked");
    }

    proptest! {
        #[test]
        fn no_download_of_gitlabs_is_named_and_the_list_is_bounded(
            transfers in prop::collection::vec((any::<bool>(), any::<u64>(), 0..u64::MAX >> 10), 0..120),
        ) {
            let transfers: Vec<_> = transfers.into_iter().map(|(mirror, bytes, age)| transfer(mirror, bytes, age)).collect();
            let report = Report::of(&snapshot(transfers.clone(), &[]));
            prop_assert_eq!(report.downloads.running, transfers.len());
            prop_assert_eq!(report.downloads.listed.len(), transfers.len().min(TRANSFERS_MAX));
            for download in &report.downloads.listed {
                let named = format!("{download:?}").contains("kestrel");
                prop_assert_eq!(named, download.upstream == "pypi");
            }
        }
    }
}
