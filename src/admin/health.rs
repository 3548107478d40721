//! Whether larder can do all that it is there for, and if not, why, in words.
//!
//! Pure: a judgement of [`Readings`]. *Degraded* still serves what it can; not ready is only a daemon
//! that is stopping, or whose advisories are too old to go by where that is to close it. The words of
//! the reasons are a closed set, which readiness, the metric and the status page share. Must not know
//! HTTP.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::readings::{CertificateReading, Readings, STALE_ANSWERS_KEPT};
use crate::file::SharedStoreReading;
use crate::index::GivenPages;
use crate::registry::FeedState;
use crate::store::{AdvisoryReading, DiskFault};
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
pub const REASONS: [&str; 18] = [
    "gitlab_unusable",
    "upstream_circuit_open",
    "credential_refused",
    "parent_unusable",
    "parents_differ",
    "shared_store_unusable",
    "store_full",
    "disk_full",
    "read_only",
    "disk_failing",
    "stale_pages",
    "links_past_larder",
    "checksum_mismatches",
    "advisories_stale",
    "advisories_unreadable",
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

    /// An upstream that could not be reached several times in a row. `all` may have others that
    /// stand in for it.
    fn unreachable(peer: &PeerReading, all: &[PeerReading]) -> Option<Self> {
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
        let stands_in = |other: &PeerReading| {
            other.name == peer.name && other.condition.state == BreakerState::Closed
        };
        if peer.has_stand_ins && all.iter().any(stands_in) {
            detail += "; the other parents stand in for it";
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

    /// A parent whose answer is wrong, or that never answered. A lone one that is merely away now is
    /// told by what cannot be reached, because every request is to reach it; of several one may have
    /// been asked for nothing.
    fn parent(parent: &ParentReading, readings: &Readings) -> Option<Self> {
        let fault = parent.fault.as_ref()?;
        let is_lone = readings.parents.len() == 1;
        let is_told = |peer: &PeerReading| {
            let is_its = peer.parent.as_deref() == Some(parent.url.as_str());
            is_its && peer.condition.state != BreakerState::Closed
        };
        let is_told = is_lone || readings.peers.iter().any(is_told);
        if parent.is_known && !fault.is_final() && is_told {
            return None;
        }
        let mut detail = parent.fault_in_words()?;
        if readings.parents.iter().any(|other| other.fault.is_none()) {
            detail += "; the other parents stand in for it";
        } else if !parent.is_known {
            detail += "; its mirrors are not known here yet";
        }
        Some(Self::new("parent_unusable", detail))
    }

    /// Parents that do not serve the same: what one of them lacks has no stand-in there.
    fn differing(parents: &[ParentReading]) -> Option<Self> {
        let mut known = parents.iter().filter(|parent| parent.is_known);
        let first = known.next()?;
        let other = known.find(|parent| parent.serves != first.serves)?;
        let serves = |parent: &ParentReading| match parent.serves.as_slice() {
            [] => format!("{} serves no mirror", parent.url),
            names => format!("{} serves {}", parent.url, names.join(", ")),
        };
        let detail = format!(
            "the parents serve different mirrors: {}, and {}: give them the same configuration",
            serves(first),
            serves(other)
        );
        Some(Self::new("parents_differ", detail))
    }

    /// A shared store that answers, and is of no use all the same. One that cannot be reached is
    /// told as other upstreams are.
    fn shared_store(reading: &SharedStoreReading) -> Option<Self> {
        let (why, since) = reading.fault.as_ref()?;
        let detail = format!("for {} the shared store {why}", in_seconds(*since));
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

    /// Records that are too old, or cannot be read.
    fn advisories(reading: &AdvisoryReading) -> Option<Self> {
        let closed = if reading.is_closed {
            "no page and no file is given until they are renewed"
        } else {
            "what they say still counts, and nothing newer"
        };
        match reading.state {
            FeedState::Stale(age) => {
                let age = in_seconds(age);
                let max_age = in_seconds(reading.max_age);
                let detail = format!(
                    "the advisories are {age} old, and policy.advisories_max_age is {max_age}: {closed}"
                );
                Some(Self::new("advisories_stale", detail))
            }
            FeedState::Missing => {
                let detail = if reading.is_closed {
                    "the advisories (policy.advisories) cannot be read: no page and no file is given until they can; the log says why"
                } else {
                    "the advisories (policy.advisories) cannot be read: nothing is refused by them; the log says why"
                };
                Some(Self::new("advisories_unreadable", detail.to_owned()))
            }
            FeedState::Current if reading.is_refused => {
                let detail = "the advisories changed and cannot be read, those of before are in force; the log says why";
                Some(Self::new("advisories_unreadable", detail.to_owned()))
            }
            FeedState::Current => None,
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
    /// The advisories are too old, or cannot be read, and nothing is given for that.
    #[serde(skip)]
    pub closed: bool,
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
            closed: readings
                .advisories
                .as_ref()
                .is_some_and(|reading| reading.is_closed),
            offline: readings.offline,
            reasons,
            awaited_parts: readings.awaited_parts.clone(),
            certificate: readings.certificate.map(CertificateHealth::of),
        }
    }

    /// Whether requests should be sent here at all.
    pub fn is_ready(&self) -> bool {
        !self.stopping && !self.closed
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
        let peers = &readings.peers;
        for peer in peers {
            reasons.extend(Reason::unreachable(peer, peers));
        }
        reasons.extend(readings.peers.iter().filter_map(Reason::refused_credential));
        for parent in &readings.parents {
            reasons.extend(Reason::parent(parent, readings));
        }
        reasons.extend(Reason::differing(&readings.parents));
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
    if let Some(advisories) = &readings.advisories {
        reasons.extend(Reason::advisories(advisories));
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
mod tests;
