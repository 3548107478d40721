//! What a peer was asked, what came of it, and how it last failed, as numbers.
//!
//! Owns the words: each is one of a closed set, so that they can be labels. Must not know who
//! shows them, nor what an answer meant to a caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;

use super::breaker::BreakerCondition;
use super::peer::Peer;
use crate::values::histogram::{Histogram, HistogramReading};

/// What is asked for: the words of `Route::word`, sizes and upload dates, and of the shared store
/// what an address yielded.
const KINDS: [&str; 7] = [
    "index", "page", "file", "metadata", "upload", "dates", "address",
];

/// How one request to a peer turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestOutcome {
    Ok,
    /// A 200 to a question that had a validator: it is not as it was.
    Changed,
    /// A 304: it is.
    NotModified,
    Redirect,
    /// The peer's word to the caller, 4xx.
    Refused,
    /// 5xx.
    Failed,
    /// No answer.
    Nothing,
}

impl RequestOutcome {
    const ALL: [Self; 7] = [
        Self::Ok,
        Self::Changed,
        Self::NotModified,
        Self::Redirect,
        Self::Refused,
        Self::Failed,
        Self::Nothing,
    ];

    pub(super) fn of(status: StatusCode, conditional: bool) -> Self {
        match status.as_u16() {
            304 => Self::NotModified,
            200 if conditional => Self::Changed,
            100..300 => Self::Ok,
            300..400 => Self::Redirect,
            400..500 => Self::Refused,
            _ => Self::Failed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::NotModified => "not_modified",
            Self::Redirect => "redirect",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Nothing => "none",
        }
    }
}

/// Why there was no answer, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerFault {
    /// No connection: no such name, no listener, or too late.
    Connect,
    Tls,
    /// A proxy on the way did not do its part.
    Proxy,
    /// No head in time.
    Timeout,
    /// The connection ended, or what came is no HTTP.
    Broken,
    /// The body stopped in its middle for too long.
    Stalled,
    /// A 5xx.
    Status,
}

impl PeerFault {
    const ALL: [Self; 7] = [
        Self::Connect,
        Self::Tls,
        Self::Proxy,
        Self::Timeout,
        Self::Broken,
        Self::Stalled,
        Self::Status,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Stalled => "stalled",
            Self::Status => "status",
        }
    }
}

/// One peer's numbers. Counted without a lock but for a fault, which is rare.
#[derive(Debug, Default)]
pub(super) struct PeerStats {
    requests: [[AtomicU64; RequestOutcome::ALL.len()]; KINDS.len()],
    faults: [AtomicU64; PeerFault::ALL.len()],
    last_fault: Mutex<Option<(PeerFault, Instant)>>,
    received_bytes: AtomicU64,
    latency: Histogram,
}

/// The numbers of all peers by name, for as long as the process lives: who is configured anew goes
/// on counting where the one before left off. There are as many as there were names.
#[derive(Debug, Default)]
pub struct PeerCounts(Mutex<BTreeMap<String, Arc<PeerStats>>>);

impl PeerCounts {
    pub(super) fn of(&self, name: String) -> Arc<PeerStats> {
        Arc::clone(self.0.lock().entry(name).or_default())
    }

    /// Of what is asked under this name: each parent's are its own.
    pub(super) fn at(&self, name: &str, peer: &Peer) -> Arc<PeerStats> {
        match peer {
            Peer::Parent(url) => self.of(format!("{name} {url}")),
            _ => self.of(name.to_owned()),
        }
    }
}

impl PeerStats {
    /// A request to the peer was answered, or was not.
    pub(super) fn asked(&self, route: &'static str, turnout: RequestOutcome) {
        let kind = KINDS
            .iter()
            .position(|kind| *kind == route)
            .unwrap_or_default();
        let place = RequestOutcome::ALL
            .iter()
            .position(|known| *known == turnout)
            .unwrap_or_default();
        if let Some(count) = self.requests.get(kind).and_then(|kind| kind.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The head of an answer came after so long.
    pub(super) fn head_after(&self, took: Duration) {
        self.latency.observe(took);
    }

    pub(super) fn failed(&self, fault: PeerFault, now: Instant) {
        let place = PeerFault::ALL
            .iter()
            .position(|known| *known == fault)
            .unwrap_or_default();
        if let Some(count) = self.faults.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        *self.last_fault.lock() = Some((fault, now));
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(
        &self,
        name: String,
        condition: BreakerCondition,
        now: Instant,
    ) -> PeerReading {
        let counted = |turnouts: &[AtomicU64; RequestOutcome::ALL.len()]| {
            turnouts
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed))
        };
        let requests = KINDS
            .iter()
            .zip(&self.requests)
            .flat_map(|(kind, turnouts)| {
                let counts = RequestOutcome::ALL.iter().zip(counted(turnouts));
                counts
                    .filter(|(_, count)| *count > 0)
                    .map(|(turnout, count)| (*kind, turnout.word(), count))
            });
        let faults = PeerFault::ALL.iter().zip(&self.faults);
        let last_fault = *self.last_fault.lock();
        PeerReading {
            name,
            parent: None,
            has_stand_ins: false,
            condition,
            refused: None,
            requests: requests.collect(),
            faults: faults
                .map(|(fault, count)| (fault.word(), count.load(Ordering::Relaxed)))
                .collect(),
            last_fault: last_fault
                .map(|(fault, at)| (fault.word(), now.saturating_duration_since(at))),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            latency: self.latency.read(),
        }
    }
}

/// One peer at a moment.
#[derive(Clone, Debug, Default)]
pub struct PeerReading {
    /// `gitlab`, `object_store`, `shared_store`, or the name of a mirror, which has no underscore.
    pub name: String,
    /// The URL of the parent that is asked for it.
    pub parent: Option<Arc<str>>,
    /// Whether that is one of several.
    pub has_stand_ins: bool,
    pub condition: BreakerCondition,
    /// For how long it has refused larder's own credential.
    pub refused: Option<Duration>,
    /// What was asked for, how it turned out, how often; what never happened is left out.
    pub requests: Vec<(&'static str, &'static str, u64)>,
    /// Why there was no whole answer, how often.
    pub faults: Vec<(&'static str, u64)>,
    /// The last of them, and how long ago.
    pub last_fault: Option<(&'static str, Duration)>,
    /// Of bodies.
    pub received_bytes: u64,
    /// From a request to the head of its answer.
    pub latency: HistogramReading,
}

impl PeerReading {
    /// Who is asked, for a person.
    pub fn title(&self) -> String {
        match (&self.parent, self.name.as_str()) {
            (None, name) => name.to_owned(),
            (Some(url), "gitlab") => format!("the parent at {url}"),
            (Some(url), name) => format!("{name} of the parent at {url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::clock;

    #[test]
    fn what_was_counted_is_read_under_its_own_words() {
        let counts = PeerStats::default();
        let now = clock::now();
        for kind in KINDS {
            for status in [200, 206, 304, 302, 404, 502] {
                counts.asked(
                    kind,
                    RequestOutcome::of(
                        StatusCode::from_u16(status).unwrap_or_default(),
                        status == 200,
                    ),
                );
            }
            counts.asked(kind, RequestOutcome::Nothing);
        }
        counts.failed(PeerFault::Tls, now);
        counts.received(7);
        let read = counts.read(
            "gitlab".to_owned(),
            BreakerCondition::WELL,
            now + Duration::from_secs(2),
        );
        assert_eq!(read.requests.len(), KINDS.len() * RequestOutcome::ALL.len());
        assert!(
            read.requests.iter().all(|(_, _, count)| *count == 1),
            "{:?}",
            read.requests
        );
        assert_eq!(
            read.faults
                .iter()
                .filter(|(_, count)| *count > 0)
                .collect::<Vec<_>>(),
            [&("tls", 1)]
        );
        assert_eq!(
            (read.last_fault, read.received_bytes),
            (Some(("tls", Duration::from_secs(2))), 7)
        );
    }
}
