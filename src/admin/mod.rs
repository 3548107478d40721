//! The admin service: what an operator looks at, and what an operator asks to be done.
//!
//! | endpoint | answer |
//! | --- | --- |
//! | `/-/` | the page for people: the status, and how to set a client up |
//! | `/-/status` | the status as JSON; the sections of the page that change, for the page's own script |
//! | `/-/find` | a redirect to the project that the page's form names |
//! | `/-/projects/ID/NAME`, `/-/groups/ID/NAME`, `/-/mirrors/NAME/NAME` | one project's files, for a caller who may have its page |
//! | `/-/health/live` | 200 while the process answers |
//! | `/-/health/ready` | 200, or 503 once the daemon is stopping; says why larder is degraded |
//! | `/-/metrics` | the metrics, as Prometheus reads them |
//! | `OPTIONS *` | the methods that larder knows |
//!
//! Commands about the store come over the control socket and are carried out by [`maintenance`].
//!
//! The room is above the services and shows their own readings; it is below the server, which
//! carries its answers. It must not answer a package client, and nothing below it may name it.

mod answer;
mod health;
pub mod maintenance;
pub mod metrics;
mod observed;
mod readings;
mod status;

use std::sync::Arc;
use std::time::Instant;

use http::header::{ACCEPT, HOST, HeaderMap};
use http::{Response, StatusCode};

use crate::index::{PageError, PageReply, PageRequest};
use crate::registry::{AdminEndpoint, RouteError};
use crate::upstream::PassThrough;
use crate::values::cache_status::CacheStatus;
use crate::values::clock;
use crate::values::correlation;

pub use health::{Health, Reason};
pub use maintenance::{Maintenance, MaintenanceError};
pub use metrics::Metrics;
pub use observed::Observed;
pub use readings::{CertificateReading, Readings};
pub use status::{Lifetimes, StatusSettings};
use status::{Overview, ProjectPage, Visit};

pub struct Admin {
    observed: Observed,
    settings: StatusSettings,
    pub metrics: Arc<Metrics>,
    pub maintenance: Arc<Maintenance>,
}

/// What of a request an endpoint's answer depends on.
pub struct AdminRequest<'r> {
    pub query: &'r str,
    pub headers: &'r HeaderMap,
    /// Whether the request came over TLS.
    pub secure: bool,
}

/// What a request for a project's page for people yields.
pub enum ProjectReply {
    Shown(Response<String>, CacheStatus),
    /// Upstream's own answer to the caller.
    PassThrough(PassThrough),
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Page(#[from] PageError),
}

impl Admin {
    pub fn new(
        observed: Observed,
        settings: StatusSettings,
        maintenance: Arc<Maintenance>,
    ) -> Self {
        Self {
            metrics: Arc::clone(&observed.metrics),
            observed,
            settings,
            maintenance,
        }
    }

    /// Answers a request for one of larder's own endpoints.
    ///
    /// # Errors
    /// When a filled-in form names no project.
    pub async fn respond(
        self: &Arc<Self>,
        endpoint: AdminEndpoint,
        request: &AdminRequest<'_>,
    ) -> Result<Response<String>, AdminError> {
        Ok(match endpoint {
            AdminEndpoint::Root => answer::see_other(&format!("{}/-/", self.settings.path_prefix)),
            AdminEndpoint::Home => {
                let host = request.headers.get(HOST);
                let visit = Visit {
                    query: request.query,
                    host: host.and_then(|host| host.to_str().ok()),
                    secure: request.secure,
                };
                let overview = self.overview().await?;
                answer::html(status::home(&overview, &self.settings, visit))
            }
            AdminEndpoint::Status => {
                let overview = self.overview().await?;
                let accept = request.headers.get(ACCEPT);
                // A browser that opens the address by itself accepts more than HTML; the page's
                // script does not.
                if accept.is_some_and(|accept| accept == "text/html") {
                    answer::html(status::live_sections(&overview, &self.settings))
                } else {
                    answer::json(&status::report(&overview, &self.settings))
                }
            }
            AdminEndpoint::Find => answer::see_other(&status::find(request.query)?),
            // The server answers it, which reads bodies.
            AdminEndpoint::RewriteLock => return Err(RouteError::Unknown.into()),
            AdminEndpoint::Options => answer::known_methods(),
            AdminEndpoint::Live => {
                answer::text(StatusCode::OK, answer::PLAIN_TEXT, "ok\n".to_owned())
            }
            AdminEndpoint::Ready => answer::readiness(&self.health(), request.headers),
            AdminEndpoint::Metrics => {
                let (kind, text) = self
                    .metrics
                    .encode(self.readings(), answer::accept(request.headers));
                answer::text(StatusCode::OK, kind, text)
            }
        })
    }

    /// Of the page as JSON, shows one project's files to a caller who may have its page; any other
    /// caller gets what a package client would get for that page.
    ///
    /// # Errors
    /// As for the page itself.
    pub async fn project(
        &self,
        request: PageRequest,
        as_json: bool,
        now: Instant,
    ) -> Result<ProjectReply, PageError> {
        let found = self.observed.pages.page(&request, now).await?;
        let page = request.page;
        let shown = match found {
            PageReply::Page {
                page: body,
                age,
                permit: _,
                status,
            } => {
                let held = self.observed.store.holdings();
                let project = ProjectPage {
                    page,
                    path_prefix: self.settings.path_prefix.clone(),
                    stale_for_seconds: age.map(|age| age.as_secs()),
                };
                let read = correlation::spawn_blocking(move || {
                    let project = project.read(&body, |file| held.size(file))?;
                    Some(match as_json {
                        true => answer::json(&project),
                        false => answer::html(status::project(&project)),
                    })
                });
                let shown = read.await.ok().flatten().ok_or(PageError::Internal)?;
                return Ok(ProjectReply::Shown(shown, status));
            }
            PageReply::Stream(_) => answer::html(status::too_large(&page)),
            PageReply::PassThrough(answer) if answer.status.is_redirection() => {
                let mut shown = answer::html(status::elsewhere(&page));
                *shown.status_mut() = StatusCode::NOT_FOUND;
                shown
            }
            PageReply::PassThrough(answer) => return Ok(ProjectReply::PassThrough(answer)),
        };
        Ok(ProjectReply::Shown(shown, CacheStatus::INTERNAL))
    }

    /// What each component says of itself now.
    pub fn readings(&self) -> Readings {
        self.observed.read(clock::now(), clock::wall())
    }

    /// Asks whether `gitlab.url` leads to a GitLab, unless that is known; whether it does.
    pub async fn check_gitlab(&self) -> bool {
        self.observed.upstream.check_gitlab().await
    }

    /// Whether larder can do all that it is there for, and if not, why.
    pub fn health(&self) -> Health {
        Health::of(&self.readings())
    }

    async fn overview(self: &Arc<Self>) -> Result<Overview, PageError> {
        let admin = Arc::clone(self);
        // Looks at the disk.
        let look = move || Overview::take(&admin.observed, admin.readings(), admin.settings.begun);
        let look = correlation::spawn_blocking(look);
        look.await.map_err(|_| PageError::Internal)
    }
}
