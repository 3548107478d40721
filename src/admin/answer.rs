//! The HTTP of the endpoints' answers: status, media type, and which fields guard a page in a
//! browser.
//!
//! *Degraded* is 200, because larder serves what it can and a restart would not mend what is wrong;
//! a daemon that is stopping is 503, so that a balancer sends its requests elsewhere. Must not know
//! what a page or a report says.

use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
    LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY,
};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::health::Health;
use super::status::content_security_policy;
use crate::values::quality_list;

pub(super) const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// When the client of a stopping daemon may try again: by then its successor may be there.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Every field that can change what a page shows.
const PAGE_VARY: HeaderValue =
    HeaderValue::from_static("Accept, Authorization, PRIVATE-TOKEN, Deploy-Token, Host");

pub(super) fn text(status: StatusCode, media_type: &'static str, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page for people. No cache keeps it, no other page frames it, and its links tell no site where
/// they were followed.
pub(super) fn html(page: String) -> Response<String> {
    let mut response = guarded("text/html; charset=utf-8", page);
    let policy = content_security_policy();
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// The same for machines.
pub(super) fn json(value: &impl Serialize) -> Response<String> {
    // A value of text and numbers can always be written.
    let text = serde_json::to_string(value).unwrap_or_default();
    guarded(JSON, text)
}

fn guarded(media_type: &'static str, page: String) -> Response<String> {
    let mut response = text(StatusCode::OK, media_type, page);
    let headers = response.headers_mut();
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(VARY, PAGE_VARY);
    response
}

/// To another page of larder's, relative to this one.
pub(super) fn see_other(place: &str) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    if let Ok(place) = HeaderValue::from_str(place) {
        headers.insert(LOCATION, place);
    }
    response
}

/// The answer to `OPTIONS *` (RFC 9110 §9.3.7).
pub(super) fn known_methods() -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let methods = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
    response.headers_mut().insert(ALLOW, methods);
    response
}

/// A line for people and probes, or JSON for a client that accepts it.
pub(super) fn readiness(health: &Health, request: &HeaderMap) -> Response<String> {
    let status = match health.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = if wants_json(request) {
        text(status, JSON, format!("{}\n", health.json()))
    } else {
        text(status, PLAIN_TEXT, format!("{health}\n"))
    };
    if !health.is_ready() {
        response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    }
    response
}

/// Whether the request's `Accept` names JSON.
pub(super) fn wants_json(request: &HeaderMap) -> bool {
    quality_list::names(accept(request), JSON)
}

pub(super) fn accept(request: &HeaderMap) -> impl Iterator<Item = &str> {
    let fields = request.get_all(ACCEPT).iter();
    fields.filter_map(|field| field.to_str().ok())
}
