//! Whether larder can do all that it is there for, and if not, why, in words.
//!
//! Pure: a judgement of [`Readings`]. *Degraded* still serves what it can; only a daemon that is
//! stopping is not ready. The words of the reasons are a closed set, which readiness, the metric
//! and the status page share. Must not know HTTP.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::readings::{CertificateReading, Readings, STALE_ANSWERS_KEPT};
use crate::file::SharedStoreReading;
use crate::index::GivenPages;
use crate::store::DiskFault;
use crate::upstream::{BreakerState, ParentReading, PeerReading, SHARED_STORE};
use crate::values::awaited_parts::AwaitedParts;
use crate::values::validity::Judgement;

/// Larder counts as degraded while all stale answers that are remembered, ten of them, were given
/// within this time. One page is what an upstream that stumbles once costs.
const STALE_ANSWERS_MIN: usize = STALE_ANSWERS_KEPT;
const STALE_COUNTS_FOR: Duration = Duration::from_secs(60);

/// Why larder is degraded. Shown as its sentence, and as JSON with what there is of the other
/// fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// One of the words of `REASONS`.
    #[serde(rename = "reason")]
    pub word: &'static str,
    /// A short sentence for a person, without paths, packages, or addresses but a parent's.
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_seconds: Option<u64>,
    /// Of the upstream's last fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
}

/// The words of all reasons, as labels have them.
pub const REASONS: [&str; 15] = [
    "gitlab_unusable",
    "upstream_circuit_open",
    "credential_refused",
    "parent_unusable",
    "shared_store_unusable",
    "store_full",
    "disk_full",
    "read_only",
    "disk_failing",
    "stale_pages",
    "links_past_larder",
    "checksum_mismatches",
    "config_refused",
    "certificate_ends",
    "certificate_invalid",
];

impl Reason {
    pub(super) fn new(word: &'static str, detail: String) -> Self {
        Self {
            word,
            detail,
            ..Self::default()
        }
    }

    /// An upstream that could not be reached several times in a row.
    fn unreachable(peer: &PeerReading) -> Option<Self> {
        let condition = &peer.condition;
        if condition.state == BreakerState::Closed {
            return None;
        }
        let cause = peer.last_fault.map(|(cause, _)| cause);
        let mut detail = format!("cannot reach {}", peer.title());
        if let Some(since) = condition.since {
            detail += &format!(" for {}", in_seconds(since));
        }
        if let Some(cause) = cause {
            detail += &format!(" ({cause})");
        }
        match condition.next_try {
            Some(Duration::ZERO) => detail += ", the next request tries it",
            Some(wait) => detail += &format!(", next try in {}", in_seconds(wait)),
            None => {}
        }
        Some(Self {
            upstream: Some(peer.name.clone()),
            since_seconds: condition.since.map(|since| since.as_secs()),
            next_try_seconds: condition.next_try.map(|wait| wait.as_secs()),
            cause,
            ..Self::new("upstream_circuit_open", detail)
        })
    }

    /// An upstream that refuses larder's own credential: requests that need it are answered 502.
    fn refused_credential(peer: &PeerReading) -> Option<Self> {
        let since = peer.refused?;
        let name = &peer.name;
        let section = match name.as_str() {
            "gitlab" => name.clone(),
            mirror => format!("mirrors.{mirror}"),
        };
        let detail = format!(
            "{} has refused larder's own credential ({section}.token_file) for {}: put a good one \
             there and reload",
            peer.title(),
            in_seconds(since)
        );
        Some(Self {
            upstream: Some(name.clone()),
            since_seconds: Some(since.as_secs()),
            ..Self::new("credential_refused", detail)
        })
    }

    /// A parent whose answer is wrong, or that never answered. One that is merely away now is told
    /// by what cannot be reached.
    fn parent(parent: &ParentReading) -> Option<Self> {
        let fault = parent.fault.as_ref()?;
        if parent.is_known && !fault.is_final() {
            return None;
        }
        let mut detail = parent.fault_in_words()?;
        if !parent.is_known {
            detail += "; its mirrors are not known here yet";
        }
        Some(Self::new("parent_unusable", detail))
    }

    /// A shared store that answers, and is of no use all the same. One that cannot be reached is
    /// told as other upstreams are.
    fn shared_store(reading: &SharedStoreReading) -> Option<Self> {
        let (why, since) = reading.fault.as_ref()?;
        let detail = format!(
            "for {} the shared store {why}; files come from upstream meanwhile",
            in_seconds(*since)
        );
        Some(Self {
            upstream: Some(SHARED_STORE.to_owned()),
            since_seconds: Some(since.as_secs()),
            ..Self::new("shared_store_unusable", detail)
        })
    }

    /// Pages whose files larder neither sees nor keeps.
    fn links_past(given: &GivenPages) -> Self {
        let (name, what) = match &given.mirror {
            Some(mirror) => (mirror.to_string(), "links"),
            None => ("gitlab".to_owned(), "links or redirects"),
        };
        let pages = match given.pages {
            1 => "1 page".to_owned(),
            more => format!("{more} pages"),
        };
        let detail = format!(
            "{what} of {name} lead past larder, so that these files are not cached ({pages} lately): the log says where to, and \
             `larder doctor` what to set"
        );
        Self {
            upstream: Some(name),
            ..Self::new("links_past_larder", detail)
        }
    }

    /// A disk that could not be written. `why` is the system's word.
    fn disk(fault: DiskFault, since: Duration, why: &str) -> Self {
        let (word, what) = match fault {
            DiskFault::Full => ("disk_full", "the disk of the cache folder is full"),
            DiskFault::ReadOnly => ("read_only", "the cache folder is read-only"),
            DiskFault::Failing => ("disk_failing", "the cache folder cannot be written"),
        };
        let lasted = in_seconds(since);
        Self {
            since_seconds: Some(since.as_secs()),
            ..Self::new(
                word,
                format!("{what} for {lasted} ({why}): files are proxied uncached"),
            )
        }
    }

    fn refused_config(since: Duration) -> Self {
        let detail = format!(
            "the configuration was refused {} ago, the one before it is in force",
            in_seconds(since)
        );
        Self {
            since_seconds: Some(since.as_secs()),
            ..Self::new("config_refused", detail)
        }
    }

    /// A certificate that ends soon, or that TLS clients do not accept.
    fn certificate(judgement: Judgement) -> Option<Self> {
        let word = match judgement {
            Judgement::Good { .. } => return None,
            Judgement::EndsSoon { .. } => "certificate_ends",
            Judgement::Expired { .. } | Judgement::NotYet { .. } => "certificate_invalid",
        };
        let detail = format!("the certificate that TLS clients are shown {judgement}");
        Some(Self::new(word, detail))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// A duration in whole seconds: `1m 5s`.
fn in_seconds(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `ok`, `degraded` or `stopping`.
    #[serde(rename = "status")]
    pub word: &'static str,
    /// The daemon is stopping: a balancer should choose another one.
    #[serde(skip)]
    pub stopping: bool,
    pub offline: bool,
    pub reasons: Vec<Reason>,
    /// Split bundles that were imported in part. Nothing is wrong: their other parts are on the
    /// way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub awaited_parts: Vec<AwaitedParts>,
    /// Larder's own, if it speaks TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateHealth>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateHealth {
    /// RFC 3339.
    not_after: String,
    /// `good`, `ends_soon`, `expired` or `not_yet`.
    state: &'static str,
}

impl CertificateHealth {
    fn of(certificate: CertificateReading) -> Self {
        Self {
            not_after: certificate.not_after_text(),
            state: certificate.judgement.word(),
        }
    }
}

impl Health {
    pub fn of(readings: &Readings) -> Self {
        let reasons = reasons(readings);
        Self {
            word: match reasons.as_slice() {
                _ if readings.stopping => "stopping",
                [] => "ok",
                _ => "degraded",
            },
            stopping: readings.stopping,
            offline: readings.offline,
            reasons,
            awaited_parts: readings.awaited_parts.clone(),
            certificate: readings.certificate.map(CertificateHealth::of),
        }
    }

    /// Whether requests should be sent here at all.
    pub fn is_ready(&self) -> bool {
        !self.stopping
    }

    /// The same as a JSON object.
    pub fn json(&self) -> Value {
        // A value of text and numbers can always be written.
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn reasons(readings: &Readings) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(why) = &readings.gitlab_fault {
        let detail = format!("gitlab.url: {why}");
        reasons.push(Reason::new("gitlab_unusable", detail));
    }
    if !readings.offline {
        reasons.extend(readings.peers.iter().filter_map(Reason::unreachable));
        reasons.extend(readings.peers.iter().filter_map(Reason::refused_credential));
        reasons.extend(readings.parent.as_ref().and_then(Reason::parent));
        let shared_store = readings.files.shared_store.as_ref();
        reasons.extend(shared_store.and_then(Reason::shared_store));
    }
    if let Some((fault, since, why)) = &readings.store.fault {
        reasons.push(Reason::disk(*fault, *since, why));
    }
    if readings.store.full {
        let detail = "a file did not fit into the cache (cache_size) and was proxied uncached";
        reasons.push(Reason::new("store_full", detail.to_owned()));
    }
    reasons.extend(stale_pages(&readings.stale_answers));
    if !readings.offline {
        reasons.extend(readings.past.iter().map(Reason::links_past));
    }
    let addresses = readings.files.blocked;
    if addresses > 0 {
        let detail = format!(
            "upstream sent bytes with a wrong checksum: {addresses} addresses are blocked for a while"
        );
        reasons.push(Reason::new("checksum_mismatches", detail));
    }
    reasons.extend(readings.config_refused.map(Reason::refused_config));
    if let Some(certificate) = &readings.certificate {
        reasons.extend(Reason::certificate(certificate.judgement));
    }
    reasons
}

/// Pages that are served stale again and again.
fn stale_pages(answers: &[Duration]) -> Option<Reason> {
    let counts = |ago: &&Duration| **ago < STALE_COUNTS_FOR;
    let recent = answers.iter().filter(counts).count();
    let last = answers.last()?;
    if recent < STALE_ANSWERS_MIN {
        return None;
    }
    let detail = format!(
        "stale pages are served, {STALE_ANSWERS_MIN} or more within {}, the last one {} ago",
        in_seconds(STALE_COUNTS_FOR),
        in_seconds(*last)
    );
    Some(Reason::new("stale_pages", detail))
}

/// One line: `ok`, `ok, offline`, `degraded: …; …` or `stopping`; behind it the bundles whose parts
/// are awaited.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)?;
        if self.offline {
            f.write_str(", offline")?;
        }
        let mut separator = ":";
        for reason in &self.reasons {
            write!(f, "{separator} {reason}")?;
            separator = ";";
        }
        for awaited in &self.awaited_parts {
            write!(f, "; waiting for {awaited}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;
    use crate::file::FilesReading;
    use crate::store::StoreReading;
    use crate::upstream::{BreakerCondition, ParentFault};

    fn resting(name: &str) -> PeerReading {
        PeerReading {
            name: name.to_owned(),
            condition: BreakerCondition {
                state: BreakerState::Open,
                since: Some(Duration::from_millis(12_700)),
                next_try: Some(Duration::from_secs(3)),
            },
            last_fault: Some(("timeout", Duration::from_secs(1))),
            ..PeerReading::default()
        }
    }

    #[test]
    fn nothing_amiss_is_ok_and_offline_is_fine() {
        let mut readings = Readings {
            peers: vec![PeerReading::default()],
            ..Readings::default()
        };
        assert_eq!(Health::of(&readings).to_string(), "ok");
        readings.offline = true;
        readings.peers.push(resting("gitlab"));
        let health = Health::of(&readings);
        assert_eq!(
            (health.to_string().as_str(), health.is_ready()),
            ("ok, offline", true)
        );
    }

    #[test]
    fn every_reason_is_said_with_a_word_of_the_closed_set() {
        let disk = |fault| (fault, Duration::from_secs(90), "No space".to_owned());
        let refused = |name: &str| PeerReading {
            name: name.to_owned(),
            refused: Some(Duration::from_secs(3)),
            ..PeerReading::default()
        };
        let day = Duration::from_hours(24);
        let certificates = [
            Judgement::EndsSoon { left: 3 * day },
            Judgement::Expired { ago: day },
            Judgement::NotYet { wait: day },
        ];
        let kinds = [DiskFault::Full, DiskFault::ReadOnly, DiskFault::Failing];
        let mut seen = Vec::new();
        for (kind, judgement) in kinds.into_iter().zip(certificates) {
            let readings = Readings {
                peers: vec![
                    resting("gitlab"),
                    PeerReading::default(),
                    resting("pypi"),
                    refused("other"),
                ],
                gitlab_fault: Some("there is no GitLab API (404)".to_owned()),
                certificate: Some(CertificateReading {
                    not_after: SystemTime::UNIX_EPOCH,
                    judgement,
                }),
                files: FilesReading {
                    blocked: 2,
                    shared_store: Some(SharedStoreReading {
                        fault: Some(("has no such bucket".to_owned(), day)),
                        ..SharedStoreReading::default()
                    }),
                    ..FilesReading::default()
                },
                store: StoreReading {
                    full: true,
                    fault: Some(disk(kind)),
                    ..StoreReading::default()
                },
                config_refused: Some(Duration::from_secs(5)),
                stale_answers: vec![Duration::from_secs(7); STALE_ANSWERS_MIN],
                past: vec![GivenPages {
                    mirror: None,
                    pages: 2,
                    oldest: None,
                    last: day,
                }],
                parent: Some(ParentReading {
                    fault: Some(ParentFault::Loop),
                    ..ParentReading::default()
                }),
                ..Readings::default()
            };
            let health = Health::of(&readings);
            assert!(health.is_ready() && health.word == "degraded");
            assert_eq!(health.json()["reasons"].as_array().map(Vec::len), Some(13));
            seen.extend(health.reasons.iter().map(|reason| reason.word));
        }
        for word in REASONS {
            assert!(seen.contains(&word), "{word}");
        }
        assert!(seen.iter().all(|word| REASONS.contains(word)));
    }

    #[test]
    fn a_parent_that_is_known_and_away_is_told_by_what_cannot_be_reached() {
        let away = ParentFault::Away("no answer".to_owned());
        let table = [
            (true, None, 0),
            (true, Some(away.clone()), 0),
            (true, Some(ParentFault::Loop), 1),
            (false, Some(away), 1),
        ];
        for (is_known, fault, reasons) in table {
            let parent = ParentReading {
                is_known,
                fault,
                ..ParentReading::default()
            };
            let health = Health::of(&Readings {
                parent: Some(parent.clone()),
                ..Readings::default()
            });
            assert_eq!(health.reasons.len(), reasons, "{parent:?}");
        }
    }

    #[test]
    fn the_line_says_who_for_how_long_why_and_when_next() {
        let health = Health::of(&Readings {
            peers: vec![resting("gitlab")],
            ..Readings::default()
        });
        assert_eq!(
            health.to_string(),
            "degraded: cannot reach gitlab for 12s (timeout), next try in 3s"
        );
        assert_eq!(health.json()["reasons"][0]["next_try_seconds"], 3);
    }

    #[test]
    fn a_good_certificate_is_no_reason_and_a_refused_credential_says_which_key() {
        let good = Judgement::Good {
            left: Duration::from_hours(480),
        };
        let certificate = CertificateReading {
            not_after: SystemTime::UNIX_EPOCH,
            judgement: good,
        };
        let peer = PeerReading {
            name: "gitlab".to_owned(),
            refused: Some(Duration::from_secs(61)),
            ..PeerReading::default()
        };
        let readings = Readings {
            certificate: Some(certificate),
            peers: vec![peer],
            ..Readings::default()
        };
        assert_eq!(
            Health::of(&readings).to_string(),
            "degraded: gitlab has refused larder's own credential (gitlab.token_file) for 1m 1s: put a good one there and reload"
        );
    }

    #[test]
    fn a_daemon_that_is_about_to_end_is_not_ready() {
        let health = Health::of(&Readings {
            stopping: true,
            peers: vec![resting("gitlab")],
            ..Readings::default()
        });
        assert!(!health.is_ready());
        assert!(
            health
                .to_string()
                .starts_with("stopping: cannot reach gitlab")
        );
    }

    #[test]
    fn parts_that_are_waited_for_are_said_and_nothing_is_amiss() {
        let awaited = AwaitedParts {
            bundle: "3f2a".to_owned(),
            of: 4,
            parts: vec![2, 3, 4],
            since: 7,
        };
        let health = Health::of(&Readings {
            awaited_parts: vec![awaited],
            ..Readings::default()
        });
        assert_eq!(
            health.to_string(),
            "ok; waiting for parts 2-4 of 4 of bundle 3f2a"
        );
        assert_eq!(health.json()["awaited_parts"][0]["parts"], json!([2, 3, 4]));
        assert!(
            Health::of(&Readings::default())
                .json()
                .get("awaited_parts")
                .is_none()
        );
    }

    #[test]
    fn stale_pages_count_while_there_are_several_of_late() {
        let word = |stale_answers| {
            let readings = Readings {
                stale_answers,
                ..Readings::default()
            };
            Health::of(&readings).word
        };
        let late = Duration::from_secs(3);
        assert_eq!(word(vec![late; STALE_ANSWERS_MIN]), "degraded");
        assert_eq!(word(vec![late; STALE_ANSWERS_MIN - 1]), "ok");
        let mut answers = vec![late; STALE_ANSWERS_MIN];
        answers[0] = STALE_COUNTS_FOR;
        assert_eq!(word(answers), "ok");
        assert_eq!(word(vec![STALE_COUNTS_FOR; STALE_ANSWERS_MIN]), "ok");
    }
}
