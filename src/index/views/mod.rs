//! Views: several sources under one URL, of which the first that has the name answers for it.
//!
//! By name and never by version: a page is one source's, wholly, as it is at that source's own
//! address, with links to that source's own addresses; so a file's right is asked where it always
//! is, and a lock file does not change with the list of sources. A source that fails ends the walk.
//! Must not know how a source is asked.

mod absence;
mod config;
mod list;

use std::time::Instant;

use super::Pages;
use super::error::PageError;
use super::request::{PageReply, PageRequest};
use super::view_counts::{ViewFault, ViewOutcome};
use crate::access::Authorization;
use crate::registry::{PageRef, Route, Scope};
use crate::simple::ProjectName;
use crate::upstream::UpstreamError;
use crate::values::cache_status::CacheStatus;

use absence::SourceAnswer;
pub use config::{View, ViewConfig};

/// A view's answer.
pub struct ViewReply {
    pub reply: PageReply,
    /// Whose it is; none of a list, which is of all sources, and where no source has the name.
    pub source: Option<Scope>,
}

impl ViewReply {
    /// A refusal does not tell which source it is of: its reader need not be one who may know.
    fn of(reply: PageReply, source: &Scope) -> Self {
        let source = match &reply {
            PageReply::PassThrough(_) => None,
            PageReply::Page { .. } | PageReply::Stream(_) => Some(source.clone()),
        };
        Self { reply, source }
    }
}

impl Pages {
    /// The view of this name, if there is one.
    pub fn view(&self, scope: &Scope) -> Option<&View> {
        self.fetcher.sources.view(scope)
    }

    /// Answers a request for a page of a view, and counts what became of it.
    ///
    /// # Errors
    /// When a source does not tell whether it has the name; the next one is not asked then.
    pub async fn view_page(
        &self,
        view: &View,
        request: &PageRequest,
        now: Instant,
    ) -> Result<ViewReply, PageError> {
        let answered = self.ask_sources(view, request, now).await;
        let counts = &self.fetcher.dependencies.view_counts;
        counts.count(&view.scope, outcome(&answered));
        answered
    }

    async fn ask_sources(
        &self,
        view: &View,
        request: &PageRequest,
        now: Instant,
    ) -> Result<ViewReply, PageError> {
        let Some(name) = &request.page.name else {
            let reply = self.view_list(view, request, now).await?;
            return Ok(ViewReply {
                reply,
                source: None,
            });
        };
        let sources = view.sources_of(name, self.fetcher.sources.private());
        let mut missed = None;
        for source in &sources {
            let of_source = at_source(request, source);
            let answer = match &self.offline {
                Some(_) => self.offline_source(&of_source, now).await?,
                None if source.is_mirror() => self.mirror_source(&of_source, now).await?,
                None => Box::pin(self.gitlab_source(&of_source, now)).await?,
            };
            match answer {
                SourceAnswer::Answers(mut reply) => {
                    if let PageReply::Page { page, .. } = &mut reply {
                        self.finish(&of_source, page).await;
                    }
                    return Ok(ViewReply::of(reply, source));
                }
                SourceAnswer::Lacks => missed = Some(of_source),
            }
        }
        let Some(last) = missed else {
            return Err(self.no_source(name));
        };
        // GitLab's own forwarding counts where no further source could have the name.
        let reply = Box::pin(self.page(&last, now)).await?;
        Ok(ViewReply::of(reply, &last.page.scope))
    }

    /// Whose right an address asks for at the door: that of a mirror with an audience is the
    /// audience's, and that of a view is that of its first source which is not for every caller.
    pub fn scope_of_right<'r>(&'r self, route: &'r Route) -> Option<&'r Scope> {
        let scope = route.read_scope()?;
        let sources = &self.fetcher.sources;
        if let Some(audience) = sources.audience(scope) {
            return Some(audience);
        }
        if let Some(view) = self.view(scope)
            && let Route::Page(page) | Route::ProjectPage(page) = route
        {
            for source in view.sources_for(page.name.as_ref(), sources.private()) {
                if let Some(audience) = sources.audience(source) {
                    return Some(audience);
                }
                if !source.is_mirror() {
                    return Some(source);
                }
            }
        }
        Some(scope)
    }

    /// No source may answer for this name: a private one has no source of GitLab's, or any other
    /// no mirror.
    fn no_source(&self, name: &ProjectName) -> PageError {
        match self.is_private(name) {
            true => PageError::PrivateName(name.clone()),
            false => PageError::NotPrivate(name.clone()),
        }
    }

    /// What a mirror says of a name. What it took back (403, 451) it has, and does not give.
    async fn mirror_source(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<SourceAnswer, PageError> {
        let reply = self.mirrored(request, now).await?;
        if let PageReply::PassThrough(answer) = &reply
            && matches!(answer.status.as_u16(), 404 | 410)
        {
            return Ok(SourceAnswer::Lacks);
        }
        Ok(SourceAnswer::Answers(reply))
    }

    /// Offline, what is here of a source is all there is, if anything is.
    async fn offline_source(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<SourceAnswer, PageError> {
        let Some(offline) = &self.offline else {
            return Err(PageError::Internal);
        };
        let page = &request.page;
        let Authorization::Proven(permit) = self.fetcher.standing(request, now) else {
            return Err(UpstreamError::Offline.into());
        };
        if page.scope.is_mirror() {
            self.admit(&request.caller, &page.scope, now).await?;
        }
        if let Some(found) = offline.page(page, request.format).await? {
            return Ok(SourceAnswer::Answers(PageReply::Page {
                permit,
                page: found,
                status: CacheStatus::HIT,
                age: None,
            }));
        }
        let list = PageRef::index(page.scope.clone());
        let is_known = offline.page(&list, request.format).await?.is_some();
        if is_known || (page.scope.is_mirror() && offline.is_withdrawn(page).await?) {
            return Ok(SourceAnswer::Lacks);
        }
        Err(PageError::SourceUnknown(page.scope.clone()))
    }
}

/// What became of a request, as it is counted.
fn outcome(answered: &Result<ViewReply, PageError>) -> ViewOutcome {
    match answered {
        Ok(ViewReply {
            reply: PageReply::PassThrough(answer),
            ..
        }) => match answer.status.as_u16() {
            404 | 410 => ViewOutcome::NoSource,
            _ => ViewOutcome::Error(ViewFault::Refused),
        },
        Ok(ViewReply {
            source: Some(source),
            ..
        }) => ViewOutcome::Page(source.clone()),
        Ok(_) => ViewOutcome::List,
        Err(why) => outcome_of_error(why),
    }
}

fn outcome_of_error(why: &PageError) -> ViewOutcome {
    match why {
        PageError::PrivateName(_)
        | PageError::NotPrivate(_)
        | PageError::NoPackage(_)
        | PageError::NotHeld(_) => ViewOutcome::NoSource,
        PageError::CredentialWanted
        | PageError::UnknownCaller(_)
        | PageError::Hidden(_)
        | PageError::SourceRefused(..)
        | PageError::NotInAudience(..)
        | PageError::AudienceUnknown(_) => ViewOutcome::Error(ViewFault::Refused),
        PageError::SourceUnknown(_) | PageError::NothingOf(_) => {
            ViewOutcome::Error(ViewFault::Unknown)
        }
        PageError::ListTooLarge(..) => ViewOutcome::Error(ViewFault::TooLarge),
        PageError::Upstream(_)
        | PageError::NotAPage(_)
        | PageError::Broken(_)
        | PageError::TooLarge
        | PageError::NotListed
        | PageError::Policy(_)
        | PageError::Closed
        | PageError::Internal => ViewOutcome::Error(ViewFault::Failed),
    }
}

/// The same request at one source.
fn at_source(request: &PageRequest, source: &Scope) -> PageRequest {
    PageRequest {
        page: PageRef {
            scope: source.clone(),
            name: request.page.name.clone(),
        },
        ..request.clone()
    }
}
