//! A mirror's audience: the callers whom GitLab lets read a group or a project.
//!
//! For a mirror with a licence or a credential, which is not for every client that can connect.
//! GitLab is asked in the caller's own name, and its answer counts for `auth.cache_ttl`, as any of
//! its answers does: later than that, without an answer nothing is given. A group or project that
//! GitLab shows to callers which it does not know lets none of those in. Offline the operator's
//! files stand in GitLab's place, as they do for GitLab's own packages. Must not know what the
//! mirror has.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use super::Pages;
use super::error::PageError;
use crate::access::{Access, Authorization, Caller};
use crate::registry::{PageRef, Route, Scope, ScopeKind};
use crate::upstream::{PageAnswer, Upstream, UpstreamError, UpstreamRequest};
use crate::values::clock;

/// A package whose page a group is asked for: whether it is there or not, GitLab judges the right
/// to the group first, and answers in a few bytes where the list of projects has no end. A
/// project's list is short, and never comes from elsewhere.
const ASKED_FOR: &str = "larder-audience";

impl Pages {
    /// Whether this caller may be given anything of this mirror.
    ///
    /// # Errors
    /// When it may not, or GitLab does not tell.
    pub async fn admit(
        &self,
        caller: &Caller,
        mirror: &Scope,
        now: Instant,
    ) -> Result<(), PageError> {
        let Some(audience) = self.fetcher.sources.audience(mirror) else {
            return Ok(());
        };
        let who = caller.fingerprint();
        let access = &self.fetcher.dependencies.access;
        if let Authorization::Proven(_) = access.audience(who, audience, now) {
            return Ok(());
        }
        if caller.is_anonymous() {
            let unknown = PageError::AudienceUnknown(mirror.clone());
            return Err(unknown);
        }
        // Larger than what a mirror for every caller needs.
        Box::pin(self.ask_audience(caller, mirror, audience, now)).await
    }

    async fn ask_audience(
        &self,
        caller: &Caller,
        mirror: &Scope,
        audience: &Scope,
        now: Instant,
    ) -> Result<(), PageError> {
        let who = caller.fingerprint();
        let access = &self.fetcher.dependencies.access;
        let page = question(audience).ok_or(PageError::Internal)?;
        if !Box::pin(self.knows(caller, &page, now)).await? {
            return Err(PageError::NotInAudience(mirror.clone(), audience.clone()));
        }
        let key = (audience.clone(), who, access.generation());
        let upstream = Arc::clone(&self.fetcher.dependencies.upstream);
        let access = Arc::clone(access);
        let asked_by = caller.clone();
        let work = move || async move { ask(&upstream, &access, &asked_by, page).await };
        let shared = self.audiences.run(key, work).await;
        match shared.ok_or(PageError::Internal)?.value {
            Ok(true) => Ok(()),
            Ok(false) => Err(PageError::NotInAudience(mirror.clone(), audience.clone())),
            Err(why) => Err(why),
        }
    }
}

/// Whether GitLab lets a caller read the scope of a page.
async fn ask(
    upstream: &Upstream,
    access: &Access,
    caller: &Caller,
    page: PageRef,
) -> Result<bool, PageError> {
    let who = caller.fingerprint();
    let scope = page.scope.clone();
    let asked = clock::now();
    let route = Route::Page(page);
    let answer = upstream.page(&UpstreamRequest::by(&route, caller)).await?;
    if let PageAnswer::Refused(refusal) = answer
        && !refusal.says_no_package()
    {
        return match refusal.status {
            StatusCode::UNAUTHORIZED => {
                access.turn_away(who, clock::now());
                Ok(false)
            }
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(false),
            status => Err(UpstreamError::Failed(upstream.peer_of(&scope), status).into()),
        };
    }
    access.admit_audience(who, &scope, asked);
    Ok(true)
}

/// The page that GitLab is asked for to learn whether a caller may read a scope.
fn question(audience: &Scope) -> Option<PageRef> {
    match audience.kind() {
        ScopeKind::Group => PageRef::parse(audience.clone(), ASKED_FOR),
        ScopeKind::Project | ScopeKind::Mirror => Some(PageRef::index(audience.clone())),
    }
}
