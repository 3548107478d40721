//! A request as the log knows it: its entry, its id, and the larders that it came through.
//!
//! Must not know how it is answered.

use std::sync::Arc;
use std::time::Instant;

use super::access_log::{self, AccessLogEntry, LoggedRequest};
use super::reply::Refusal;
use super::request_head::{Field, RequestHead};
use super::services::Services;
use crate::registry::Route;
use crate::values::correlation::Correlation;
use crate::values::request_id::RequestId;

/// More larders in a row are a loop of others, which one of them breaks.
const LARDERS_BEFORE_MAX: usize = 8;

impl Services {
    /// The entry of a request in the access log; a request that larder sends to itself has none.
    pub(super) fn log_entry(
        &self,
        head: &RequestHead,
        route: &Result<Route, Refusal>,
        correlation: &Arc<Correlation>,
        since: Instant,
    ) -> Option<Box<AccessLogEntry>> {
        if head.ingress.is_own {
            return None;
        }
        let route = match route {
            Ok(route) => Ok(route.clone()),
            Err(_) => Err(head.parts.uri.path().to_owned()),
        };
        let request = LoggedRequest {
            client: head.ingress.client,
            method: head.parts.method.clone(),
            route,
            user_agent: access_log::user_agent(head.headers()),
            since,
            correlation: Arc::clone(correlation),
        };
        let metrics = Arc::clone(&self.admin.metrics);
        Some(Box::new(AccessLogEntry::new(metrics, request)))
    }
}

/// What joins the log lines of the request that came with these fields.
pub(super) fn correlation(head: &RequestHead) -> Arc<Correlation> {
    Correlation::received(request_id(head), larders_before(head))
}

/// The larders that a request came through, by their names in `Via`; none if it came through none.
fn larders_before(head: &RequestHead) -> Option<String> {
    let mut larders = Vec::new();
    for list in head.all(Field::Via) {
        for hop in list.to_str().ok()?.split(',') {
            let hop = hop.trim();
            if larders.len() < LARDERS_BEFORE_MAX && is_larder(hop) {
                larders.push(hop);
            }
        }
    }
    if larders.is_empty() {
        return None;
    }
    Some(larders.join(", "))
}

/// Whether a member of `Via` is a larder's.
fn is_larder(hop: &str) -> bool {
    let Some(name) = hop.strip_prefix("1.1 larder-") else {
        return false;
    };
    name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The client's own name for the request, if it is one and well-formed, or else a new one.
fn request_id(head: &RequestHead) -> RequestId {
    match head.only(Field::XRequestId) {
        Some(given) => RequestId::parse(given.as_bytes()).unwrap_or_else(RequestId::random),
        None => RequestId::random(),
    }
}
