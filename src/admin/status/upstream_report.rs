//! One upstream as the status tells it.
//!
//! Pure. Must not name an address but a parent's.

use std::time::Duration;

use serde::Serialize;

use super::words::time;
use crate::upstream::{BreakerState, PeerReading};

/// For so long after an error an upstream is not shown as well.
const ERROR_COUNTS_FOR: Duration = Duration::from_mins(5);

#[derive(Debug, Serialize)]
pub(super) struct UpstreamReport {
    pub name: String,
    /// The URL of the parent that is asked for it.
    pub parent: Option<String>,
    /// For the page.
    #[serde(skip)]
    pub title: String,
    /// `reachable`, `recent_error`, `credential_refused`, `half_open`, `circuit_open`, or `not_asked`
    /// offline.
    pub state: &'static str,
    pub sentence: String,
    pub since_seconds: Option<u64>,
    pub next_try_seconds: Option<u64>,
    pub last_error: Option<&'static str>,
    pub last_error_age_seconds: Option<u64>,
}

impl UpstreamReport {
    pub(super) fn of(peer: &PeerReading, offline: bool) -> Self {
        let condition = &peer.condition;
        let since = match condition.since {
            Some(since) => format!(" for {}", time(since)),
            None => String::new(),
        };
        let (state, sentence) = match condition.state {
            _ if offline => ("not_asked", "Not asked: larder is offline".to_owned()),
            BreakerState::Closed => without_outage(peer),
            BreakerState::HalfOpen => (
                "half_open",
                format!("Unreachable{since}; it is being tried again"),
            ),
            BreakerState::Open => {
                let next = match condition.next_try {
                    Some(Duration::ZERO) | None => "; the next request tries it".to_owned(),
                    Some(wait) => format!("; next try in {}", time(wait)),
                };
                (
                    "circuit_open",
                    format!("Unreachable{since}: the circuit breaker is open{next}"),
                )
            }
        };
        Self {
            name: peer.name.clone(),
            parent: peer.parent.as_ref().map(ToString::to_string),
            title: peer.title(),
            state,
            sentence,
            since_seconds: condition.since.map(|since| since.as_secs()),
            next_try_seconds: condition.next_try.map(|wait| wait.as_secs()),
            last_error: peer.last_fault.map(|(cause, _)| in_words(cause)),
            last_error_age_seconds: peer.last_fault.map(|(_, ago)| ago.as_secs()),
        }
    }
}

/// The state of an upstream whose breaker is closed: it is asked, and may fail all the same.
fn without_outage(peer: &PeerReading) -> (&'static str, String) {
    if let Some(since) = peer.refused {
        let refused = format!("It has refused larder's own credential for {}", time(since));
        return ("credential_refused", refused);
    }
    match peer.last_fault {
        Some((_, ago)) if ago < ERROR_COUNTS_FOR => {
            let failed = format!("Asked, and it failed {} ago", time(ago));
            ("recent_error", failed)
        }
        _ => ("reachable", "Reachable, as far as is known".to_owned()),
    }
}

/// What the cause of a fault means to a person, without addresses.
fn in_words(cause: &'static str) -> &'static str {
    match cause {
        "connect" => "the connection failed",
        "tls" => "TLS failed; see the log",
        "proxy" => "the proxy failed",
        "timeout" => "no answer in time",
        "broken" => "the connection closed before the end of the answer",
        "stalled" => "the answer stalled",
        "status" => "it answered with an error of its own (5xx)",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::BreakerCondition;

    #[test]
    fn a_resting_upstream_is_told_with_its_last_error_and_next_try() {
        let peer = PeerReading {
            name: "gitlab".to_owned(),
            condition: BreakerCondition {
                state: BreakerState::Open,
                since: Some(Duration::from_secs(130)),
                next_try: Some(Duration::from_secs(8)),
            },
            last_fault: Some(("timeout", Duration::from_secs(3))),
            ..PeerReading::default()
        };
        let report = UpstreamReport::of(&peer, false);
        assert_eq!(
            report.sentence,
            "Unreachable for 2 min 10 s: the circuit breaker is open; next try in 8 s"
        );
        assert_eq!(report.last_error, Some("no answer in time"));
        assert_eq!(UpstreamReport::of(&peer, true).state, "not_asked");
    }

    #[test]
    fn an_upstream_that_failed_a_moment_ago_is_not_shown_as_well() {
        let state = |last_fault, refused| {
            let peer = PeerReading {
                last_fault,
                refused,
                ..PeerReading::default()
            };
            UpstreamReport::of(&peer, false).state
        };
        let failed = |ago| Some(("timeout", ago));
        assert_eq!(state(failed(Duration::from_secs(27)), None), "recent_error");
        assert_eq!(state(failed(ERROR_COUNTS_FOR), None), "reachable");
        assert_eq!(state(None, None), "reachable");
        let refused = Some(Duration::from_secs(27));
        assert_eq!(state(None, refused), "credential_refused");
    }
}
