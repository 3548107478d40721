//! larder's own endpoints, below `/-/`: what each answers.
//!
//! - `/-/`, `/-/status`: how larder is, for people, and as parts or JSON; `/-/find` leads a form to a project's page.
//! - `/-/projects/…`, `/-/groups/…`, `/-/mirrors/…`: one project's page, to a caller that may read the page itself.
//! - `/-/health/live`, `/-/health/ready`: *degraded* is 200, because larder serves what it can and a restart would not mend
//!   what is amiss; a daemon that is about to end is 503, so that a balancer sends its requests elsewhere.
//! - `/-/metrics`.
//!
//! Must not judge how larder is, or who may read a page.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::header::{ACCEPT, HOST, HeaderValue, RETRY_AFTER};
use http::request::Parts;

use super::conditions::Conditions;
use super::reply::{self, Refusal, Reply};
use super::services::Services;
use crate::access::Caller;
use crate::admin::Health;
use crate::admin::status::{self, Snapshot, Visit};
use crate::index::{PageError, PageReply, PageRequest};
use crate::registry::{AdminEndpoint, PageRef};
use crate::simple::Format;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// For a client that asks a daemon which is about to end: by then another one may be there.
const COME_BACK_AFTER: HeaderValue = HeaderValue::from_static("1");

/// In the extensions of a request that came over TLS.
#[derive(Clone, Copy)]
pub(super) struct OverTls;

impl Services {
    pub(super) async fn endpoint(
        &self,
        endpoint: AdminEndpoint,
        parts: &Parts,
        conditions: &Conditions<'_>,
    ) -> Result<Reply, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(match endpoint {
            AdminEndpoint::Home => {
                let visit = Visit {
                    query,
                    host: host(parts),
                    secure: parts.extensions.get::<OverTls>().is_some(),
                };
                let snapshot = self.snapshot().await?;
                reply::document(StatusCode::OK, status::home(&snapshot, visit))
            }
            AdminEndpoint::Status => {
                // A browser that comes here by itself takes more than HTML; the page's script does not.
                let as_parts = match parts.headers.get(ACCEPT) {
                    Some(accept) => accept == "text/html",
                    None => false,
                };
                let snapshot = self.snapshot().await?;
                reply::document(StatusCode::OK, status::status(&snapshot, as_parts))
            }
            AdminEndpoint::Find => reply::see_other(&status::find(query)?),
            AdminEndpoint::Options => reply::able(),
            AdminEndpoint::Live => reply::own(StatusCode::OK, PLAIN_TEXT, "ok\n".to_owned()),
            AdminEndpoint::Ready => ready(&self.health(), conditions.accept_json()),
            AdminEndpoint::Metrics => {
                let (kind, text) = self.metrics.encode(self.gauges(), conditions.accept());
                reply::own(StatusCode::OK, kind, text)
            }
        })
    }

    /// One project for people: a caller that may read its page is shown what is on it, and every other caller gets what
    /// the page's clients would get.
    pub(super) async fn project_page(
        &self,
        caller: Caller,
        page: PageRef,
        conditions: &Conditions<'_>,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        let request = PageRequest {
            caller,
            page: page.clone(),
            format: Format::Json,
            insists: conditions.no_cache,
        };
        match self.pages.page(&request, now).await? {
            PageReply::Page {
                page: body,
                age,
                permit: _,
                status: outcome,
            } => {
                let holdings = self.holdings.clone();
                let prefix = self.path_prefix.clone();
                let stale = age.map(|age| age.as_secs());
                let as_json = conditions.accept_json();
                let shown = tokio::task::spawn_blocking(move || {
                    let size = |file: &_| holdings.size(file);
                    status::project(&page, &body, stale, &prefix, as_json, size)
                });
                let shown = shown.await.ok().flatten().ok_or(PageError::Internal)?;
                Ok((reply::document(StatusCode::OK, shown).0, outcome))
            }
            PageReply::Stream(_) => Ok(reply::document(StatusCode::OK, status::too_large(&page))),
            PageReply::PassThrough(word) if word.status.is_redirection() => {
                let elsewhere = status::elsewhere(&page);
                Ok(reply::document(StatusCode::NOT_FOUND, elsewhere))
            }
            PageReply::PassThrough(word) => Ok(reply::relayed(word)),
        }
    }

    /// How larder is. A look at the disk is part of it.
    async fn snapshot(&self) -> Result<Snapshot, PageError> {
        let snapshot = Arc::clone(&self.snapshot);
        let gauges = self.gauges();
        let taken = tokio::task::spawn_blocking(move || snapshot(&gauges)).await;
        taken.map_err(|_| PageError::Internal)
    }
}

fn host(parts: &Parts) -> Option<&str> {
    parts.headers.get(HOST)?.to_str().ok()
}

fn ready(health: &Health, as_json: bool) -> Reply {
    let (kind, text) = if as_json {
        (JSON, format!("{}\n", health.json()))
    } else {
        (PLAIN_TEXT, format!("{health}\n"))
    };
    if health.is_ready() {
        return reply::own(StatusCode::OK, kind, text);
    }
    let (mut response, outcome) = reply::own(StatusCode::SERVICE_UNAVAILABLE, kind, text);
    response.headers_mut().insert(RETRY_AFTER, COME_BACK_AFTER);
    (response, outcome)
}
