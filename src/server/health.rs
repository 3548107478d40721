//! Readiness over HTTP: a line for people and probes, JSON for whoever accepts it.
//!
//! *Degraded* is 200, because larder serves what it can and a restart would not mend what is amiss; a daemon that is
//! about to end is 503, so that a balancer sends its requests elsewhere. Must not judge.

use http::header::{ACCEPT, HeaderMap, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use super::reply::{self, Reply};
use crate::admin::Health;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// For whoever asks a daemon that is about to end: by then another one may be there.
const COME_BACK_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Liveness: that this can be said is the answer.
pub(super) fn live() -> Reply {
    reply::own(StatusCode::OK, PLAIN_TEXT, "ok\n".to_owned())
}

pub(super) fn ready(health: &Health, request: &HeaderMap) -> Reply {
    let status = if health.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let (kind, text) = if wants_json(request) {
        (JSON, format!("{}\n", health.json()))
    } else {
        (PLAIN_TEXT, format!("{health}\n"))
    };
    let (mut response, outcome) = reply::own(status, kind, text);
    if !health.is_ready() {
        response.headers_mut().insert(RETRY_AFTER, COME_BACK_AFTER);
    }
    (response, outcome)
}

fn wants_json(request: &HeaderMap) -> bool {
    let fields = request
        .get_all(ACCEPT)
        .iter()
        .filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case(JSON)
    })
}
