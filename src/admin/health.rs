//! Whether larder can do all that it is there for, and if not, why, in words.
//!
//! Pure: a judgement of [`Gauges`]. *Degraded* still serves what it can; only a daemon that is about to end is not ready.
//! The words of the reasons are a closed set, which readiness, the metric and the status page share. Must not know
//! HTTP.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::gauges::{
    CertificateGauges, DiskTrouble, DiskTroubleKind, Gauges, PeerGauges, Standing,
};
use crate::values::awaited_parts::AwaitedParts;
use crate::values::validity::Judgement;

/// A page that was served stale so lately is worth a word.
const STALE_COUNTS_FOR: Duration = Duration::from_secs(60);

/// Why larder is less than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    UpstreamCircuitOpen {
        peer: String,
        since: Option<Duration>,
        next_try: Option<Duration>,
        /// Of the last error.
        cause: Option<&'static str>,
    },
    /// Larder's own credential is no good there: whoever needs it is answered 502.
    CredentialRefused {
        peer: String,
        since: Duration,
    },
    StoreFull,
    Disk(DiskTrouble),
    /// A page was served although upstream did not say that it still stands.
    StalePages {
        ago: Duration,
    },
    /// So many addresses gave wrong bytes, and are left alone for a while.
    ChecksumMismatches {
        addresses: u64,
    },
    ConfigRefused {
        since: Duration,
    },
    /// TLS clients are shown one that ends soon, or that they do not take.
    Certificate(Judgement),
}

/// The words of all reasons, as labels have them.
pub const REASONS: [&str; 11] = [
    "upstream_circuit_open",
    "credential_refused",
    "store_full",
    "disk_full",
    "read_only",
    "disk_failing",
    "stale_pages",
    "checksum_mismatches",
    "config_refused",
    "certificate_ends",
    "certificate_invalid",
];

impl Reason {
    /// Of [`REASONS`].
    pub fn word(&self) -> &'static str {
        match self {
            Self::UpstreamCircuitOpen { .. } => "upstream_circuit_open",
            Self::CredentialRefused { .. } => "credential_refused",
            Self::StoreFull => "store_full",
            Self::Disk(DiskTrouble {
                kind: DiskTroubleKind::Full,
                ..
            }) => "disk_full",
            Self::Disk(DiskTrouble {
                kind: DiskTroubleKind::ReadOnly,
                ..
            }) => "read_only",
            Self::Disk(DiskTrouble {
                kind: DiskTroubleKind::Failing,
                ..
            }) => "disk_failing",
            Self::StalePages { .. } => "stale_pages",
            Self::ChecksumMismatches { .. } => "checksum_mismatches",
            Self::ConfigRefused { .. } => "config_refused",
            Self::Certificate(judgement) if judgement.holds() => "certificate_ends",
            Self::Certificate(_) => "certificate_invalid",
        }
    }

    fn of_credential(peer: &PeerGauges) -> Option<Self> {
        peer.refused.map(|since| Self::CredentialRefused {
            peer: peer.name.clone(),
            since,
        })
    }

    fn of_peer(peer: &PeerGauges) -> Option<Self> {
        (peer.standing != Standing::Well).then(|| Self::UpstreamCircuitOpen {
            peer: peer.name.clone(),
            since: peer.since,
            next_try: peer.next_try,
            cause: peer.last_error.map(|error| error.cause),
        })
    }

    fn of_certificate(CertificateGauges { judgement, .. }: CertificateGauges) -> Option<Self> {
        (!matches!(judgement, Judgement::Good { .. })).then_some(Self::Certificate(judgement))
    }
}

/// A short sentence for a person, without paths, packages or addresses.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpstreamCircuitOpen {
                peer,
                since,
                next_try,
                cause,
            } => {
                write!(f, "cannot reach {peer}")?;
                if let Some(since) = since {
                    write!(f, " for {}", Whole(*since))?;
                }
                if let Some(cause) = cause {
                    write!(f, " ({cause})")?;
                }
                match next_try {
                    Some(Duration::ZERO) => write!(f, ", the next request tries it"),
                    Some(wait) => write!(f, ", next try in {}", Whole(*wait)),
                    None => Ok(()),
                }
            }
            Self::CredentialRefused { peer, since } => {
                let section = if peer == "gitlab" {
                    peer.clone()
                } else {
                    format!("mirrors.{peer}")
                };
                write!(
                    f,
                    "{peer} has refused larder's own credential ({section}.token_file) for {}: put a good one \
                     there and reload",
                    Whole(*since)
                )
            }
            Self::StoreFull => f.write_str(
                "a file did not fit into the cache (cache_size) and was proxied uncached",
            ),
            Self::Disk(DiskTrouble { kind, since, why }) => {
                let what = match kind {
                    DiskTroubleKind::Full => "the disk of the cache folder is full",
                    DiskTroubleKind::ReadOnly => "the cache folder is read-only",
                    DiskTroubleKind::Failing => "the cache folder cannot be written",
                };
                write!(
                    f,
                    "{what} for {} ({why}): files are proxied uncached",
                    Whole(*since)
                )
            }
            Self::StalePages { ago } => write!(
                f,
                "stale pages are served, the last one {} ago",
                Whole(*ago)
            ),
            Self::ChecksumMismatches { addresses } => {
                write!(
                    f,
                    "upstream sent bytes with a wrong checksum: {addresses} addresses are blocked for a while"
                )
            }
            Self::ConfigRefused { since } => {
                write!(
                    f,
                    "the configuration was refused {} ago, the one before it is in force",
                    Whole(*since)
                )
            }
            Self::Certificate(judgement) => {
                write!(f, "the certificate that TLS clients are shown {judgement}")
            }
        }
    }
}

/// A duration in whole seconds.
struct Whole(Duration);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(Duration::from_secs(self.0.as_secs())).fmt(f)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The daemon is about to end: whoever chooses among several should choose another.
    pub stopping: bool,
    pub offline: bool,
    pub reasons: Vec<Reason>,
    /// Split bundles that were imported in part. Nothing is amiss: whoever carries them is on the way.
    pub awaited_parts: Vec<AwaitedParts>,
    /// Larder's own, if it speaks TLS.
    pub certificate: Option<CertificateGauges>,
}

impl Health {
    pub fn of(gauges: &Gauges) -> Self {
        let mut reasons: Vec<Reason> = Vec::new();
        if !gauges.offline {
            reasons.extend(gauges.peers.iter().filter_map(Reason::of_peer));
            reasons.extend(gauges.peers.iter().filter_map(Reason::of_credential));
        }
        reasons.extend(gauges.store.disk.clone().map(Reason::Disk));
        reasons.extend(gauges.store.full.then_some(Reason::StoreFull));
        let stale = gauges.last_stale.filter(|ago| *ago < STALE_COUNTS_FOR);
        reasons.extend(stale.map(|ago| Reason::StalePages { ago }));
        let shunned = Some(gauges.flights.shunned).filter(|shunned| *shunned > 0);
        reasons.extend(shunned.map(|addresses| Reason::ChecksumMismatches { addresses }));
        reasons.extend(
            gauges
                .config_refused
                .map(|since| Reason::ConfigRefused { since }),
        );
        reasons.extend(gauges.certificate.and_then(Reason::of_certificate));
        Self {
            stopping: gauges.stopping,
            offline: gauges.offline,
            reasons,
            awaited_parts: gauges.awaited_parts.clone(),
            certificate: gauges.certificate,
        }
    }

    /// Whether requests should be sent here at all.
    pub fn is_ready(&self) -> bool {
        !self.stopping
    }

    /// `ok`, `degraded` or `stopping`.
    pub fn word(&self) -> &'static str {
        match self.reasons.as_slice() {
            _ if self.stopping => "stopping",
            [] => "ok",
            _ => "degraded",
        }
    }

    /// The same as a JSON object: `status`, `offline`, and `reasons`, each with a `reason`, a sentence as `detail`, and
    /// what there is of `upstream`, `since_seconds`, `next_try_seconds`; and `awaited_parts`, where bundles wait for some;
    /// and the `certificate`, where there is one.
    pub fn json(&self) -> Value {
        let reasons: Vec<Value> = self.reasons.iter().map(reason_json).collect();
        let mut object =
            json!({ "status": self.word(), "offline": self.offline, "reasons": reasons });
        if !self.awaited_parts.is_empty()
            && let Some(object) = object.as_object_mut()
        {
            object.insert("awaited_parts".to_owned(), json!(self.awaited_parts));
        }
        if let (Some(certificate), Some(object)) = (&self.certificate, object.as_object_mut()) {
            let not_after = humantime::format_rfc3339_seconds(certificate.not_after).to_string();
            let told = json!({ "not_after": not_after, "state": certificate.judgement.word() });
            object.insert("certificate".to_owned(), told);
        }
        object
    }
}

fn reason_json(reason: &Reason) -> Value {
    let mut object = json!({ "reason": reason.word(), "detail": reason.to_string() });
    let mut put = |key: &str, value: Option<Value>| {
        if let (Some(value), Some(object)) = (value, object.as_object_mut()) {
            object.insert(key.to_owned(), value);
        }
    };
    let seconds = |duration: &Duration| Value::from(duration.as_secs());
    match reason {
        Reason::UpstreamCircuitOpen {
            peer,
            since,
            next_try,
            cause,
        } => {
            put("upstream", Some(peer.as_str().into()));
            put("since_seconds", since.as_ref().map(seconds));
            put("next_try_seconds", next_try.as_ref().map(seconds));
            put("cause", cause.map(Value::from));
        }
        Reason::CredentialRefused { peer, since } => {
            put("upstream", Some(peer.as_str().into()));
            put("since_seconds", Some(seconds(since)));
        }
        Reason::Disk(DiskTrouble { since, .. }) | Reason::ConfigRefused { since } => {
            put("since_seconds", Some(seconds(since)));
        }
        Reason::Certificate(_)
        | Reason::StoreFull
        | Reason::StalePages { .. }
        | Reason::ChecksumMismatches { .. } => {}
    }
    object
}

/// One line: `ok`, `ok, offline`, `degraded: …; …` or `stopping`; behind it what bundles wait for.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        if self.offline {
            f.write_str(", offline")?;
        }
        for (place, reason) in self.reasons.iter().enumerate() {
            write!(f, "{} {reason}", if place == 0 { ":" } else { ";" })?;
        }
        self.awaited_parts
            .iter()
            .try_for_each(|awaited| write!(f, "; waiting for {awaited}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::admin::gauges::{FlightGauges, LastError, StoreGauges};

    fn resting(name: &str) -> PeerGauges {
        PeerGauges {
            name: name.to_owned(),
            standing: Standing::Resting,
            since: Some(Duration::from_millis(12_700)),
            next_try: Some(Duration::from_secs(3)),
            last_error: Some(LastError {
                cause: "timeout",
                ago: Duration::from_secs(1),
            }),
            ..PeerGauges::default()
        }
    }

    #[test]
    fn nothing_amiss_is_ok_and_offline_is_fine() {
        let mut gauges = Gauges {
            peers: vec![PeerGauges::default()],
            ..Gauges::default()
        };
        assert_eq!(Health::of(&gauges).to_string(), "ok");
        gauges.offline = true;
        gauges.peers.push(resting("gitlab"));
        let health = Health::of(&gauges);
        assert_eq!(
            (health.to_string().as_str(), health.is_ready()),
            ("ok, offline", true)
        );
    }

    #[test]
    fn every_reason_is_said_with_a_word_of_the_closed_set() {
        let disk = |kind| DiskTrouble {
            kind,
            since: Duration::from_secs(90),
            why: "No space".to_owned(),
        };
        let refused = |name: &str| PeerGauges {
            name: name.to_owned(),
            refused: Some(Duration::from_secs(3)),
            ..PeerGauges::default()
        };
        let day = Duration::from_hours(24);
        let certificates = [
            Judgement::EndsSoon { left: 3 * day },
            Judgement::Expired { ago: day },
            Judgement::NotYet { wait: day },
        ];
        let kinds = [
            DiskTroubleKind::Full,
            DiskTroubleKind::ReadOnly,
            DiskTroubleKind::Failing,
        ];
        let mut seen = Vec::new();
        for (kind, judgement) in kinds.into_iter().zip(certificates) {
            let gauges = Gauges {
                peers: vec![
                    resting("gitlab"),
                    PeerGauges::default(),
                    resting("pypi"),
                    refused("other"),
                ],
                certificate: Some(CertificateGauges {
                    not_after: SystemTime::UNIX_EPOCH,
                    judgement,
                }),
                flights: FlightGauges {
                    shunned: 2,
                    ..FlightGauges::default()
                },
                store: StoreGauges {
                    full: true,
                    disk: Some(disk(kind)),
                    ..StoreGauges::default()
                },
                config_refused: Some(Duration::from_secs(5)),
                last_stale: Some(Duration::from_secs(7)),
                ..Gauges::default()
            };
            let health = Health::of(&gauges);
            assert!(health.is_ready() && health.word() == "degraded");
            assert_eq!(health.json()["reasons"].as_array().map(Vec::len), Some(9));
            seen.extend(health.reasons.iter().map(Reason::word));
        }
        for word in REASONS {
            assert!(seen.contains(&word), "{word}");
        }
        assert!(seen.iter().all(|word| REASONS.contains(word)));
    }

    #[test]
    fn the_line_says_who_for_how_long_why_and_when_next() {
        let health = Health::of(&Gauges {
            peers: vec![resting("gitlab")],
            ..Gauges::default()
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
        let certificate = CertificateGauges {
            not_after: SystemTime::UNIX_EPOCH,
            judgement: good,
        };
        let peer = PeerGauges {
            name: "gitlab".to_owned(),
            refused: Some(Duration::from_secs(61)),
            ..PeerGauges::default()
        };
        let gauges = Gauges {
            certificate: Some(certificate),
            peers: vec![peer],
            ..Gauges::default()
        };
        assert_eq!(
            Health::of(&gauges).to_string(),
            "degraded: gitlab has refused larder's own credential (gitlab.token_file) for 1m 1s: put a good one there and reload"
        );
    }

    #[test]
    fn a_daemon_that_is_about_to_end_is_not_ready() {
        let health = Health::of(&Gauges {
            stopping: true,
            peers: vec![resting("gitlab")],
            ..Gauges::default()
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
        let health = Health::of(&Gauges {
            awaited_parts: vec![awaited],
            ..Gauges::default()
        });
        assert_eq!(
            health.to_string(),
            "ok; waiting for parts 2-4 of 4 of bundle 3f2a"
        );
        assert_eq!(health.json()["awaited_parts"][0]["parts"], json!([2, 3, 4]));
        assert!(Health::default().json().get("awaited_parts").is_none());
    }

    #[test]
    fn a_stale_page_of_long_ago_is_forgotten() {
        let gauges = Gauges {
            last_stale: Some(STALE_COUNTS_FOR),
            ..Gauges::default()
        };
        assert_eq!(Health::of(&gauges), Health::default());
    }
}
