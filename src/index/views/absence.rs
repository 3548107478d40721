//! When a source of GitLab's does not have a name, so that the next source may be asked.
//!
//! GitLab says "no such package" of what this caller may see, and says so to a caller that it does
//! not know as well, so that its word alone would send a caller whose right has ended to a package
//! of the same name elsewhere (dependency confusion). The rule, which fails closed:
//!
//! | GitLab answers | a project | a group |
//! | --- | --- | --- |
//! | its redirect to a public index, or 404 "Package Not Found" | has it not: GitLab judged the right to the whole project first | has it not, if GitLab knows the caller and larder never had the page from it |
//! | 401, 429 | goes to the caller, as it came | the same |
//! | any other refusal | an error: not there, or not for this caller | the same |
//!
//! A group shows each caller the projects that the caller may see. So a caller without a
//! credential is asked for one; one whose credential GitLab takes for none where it does not know
//! it (Basic, `Deploy-Token`) counts as known only where a caller without a credential gets
//! nothing; and a name that the group once gave to any caller is hidden, or was deleted, and is
//! looked for no further, also where its absence was remembered
//! before. Must not know mirrors.

use std::time::Instant;

use crate::access::Caller;
use crate::index::Pages;
use crate::index::error::PageError;
use crate::index::fetch::Fetched;
use crate::index::request::{PageReply, PageRequest};
use crate::registry::{PageRef, Route, ScopeKind};
use crate::upstream::{PageAnswer, PassThrough, UpstreamError, UpstreamRequest};
use crate::values::clock;

/// What a source says of a name.
pub enum SourceAnswer {
    /// This is the view's answer: the page, or what only the caller can mend.
    Answers(PageReply),
    Lacks,
}

/// What GitLab's answer to a caller means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GitLabWord {
    NoPackage,
    /// The caller has to show a credential, or to wait.
    ForCaller,
    Refused,
}

/// Reads a refusal.
fn word(answer: &PassThrough) -> GitLabWord {
    if answer.says_no_package() {
        GitLabWord::NoPackage
    } else if answer.is_for_caller() {
        GitLabWord::ForCaller
    } else {
        GitLabWord::Refused
    }
}

impl Pages {
    /// What a source of GitLab's says of a name to this caller.
    ///
    /// # Errors
    /// When it cannot be told, whatever the reason: the next source is not asked.
    pub(super) async fn gitlab_source(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<SourceAnswer, PageError> {
        let changes = self.fetcher.changes().read();
        let access = self.fetcher.access();
        let known = self.absences.recall(request, now, changes, access);
        if known.is_some() && self.is_still_absent(&request.page).await? {
            return Ok(SourceAnswer::Lacks);
        }
        match self.own(request, now).await {
            Ok(PageReply::PassThrough(answer)) => match word(&answer) {
                GitLabWord::NoPackage => {}
                GitLabWord::ForCaller => {
                    return Ok(SourceAnswer::Answers(PageReply::PassThrough(answer)));
                }
                GitLabWord::Refused => {
                    let scope = request.page.scope.clone();
                    return Err(PageError::SourceRefused(scope, answer.status));
                }
            },
            // EE's Dependency Firewall forwards by a page of its own.
            Ok(PageReply::Page { page, .. }) if page.is_forwarded() => {}
            Ok(reply) => return Ok(SourceAnswer::Answers(reply)),
            Err(Fetched::Forward { .. }) => {}
            Err(other) => return Err(other.into()),
        }
        self.prove_absence(request, now).await?;
        self.absences.remember(request, (), now);
        Ok(SourceAnswer::Lacks)
    }

    /// Whether GitLab's "no such package" means that there is none for any caller that it would
    /// let in.
    ///
    /// # Errors
    /// When it may mean that this caller is not shown it.
    pub(in crate::index) async fn prove_absence(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<(), PageError> {
        let page = &request.page;
        if page.scope.kind() != ScopeKind::Group {
            return Ok(());
        }
        if request.caller.is_anonymous() {
            return Err(PageError::CredentialWanted);
        }
        if !self.knows(&request.caller, page, now).await? {
            return Err(PageError::UnknownCaller(page.scope.clone()));
        }
        if self.had_page(page).await? {
            return Err(PageError::Hidden(page.clone()));
        }
        Ok(())
    }

    /// Whether GitLab knows this caller, of whom it took a question about this page for good.
    ///
    /// # Errors
    /// When GitLab does not tell.
    pub(in crate::index) async fn knows(
        &self,
        caller: &Caller,
        page: &PageRef,
        now: Instant,
    ) -> Result<bool, PageError> {
        if caller.is_anonymous() {
            return Ok(false);
        }
        if caller.credential().is_refused_if_unknown() {
            return Ok(true);
        }
        Ok(!self.is_open(page, now).await?)
    }

    /// Whether a caller without a credential is told of the scope of this page whether it has it.
    async fn is_open(&self, page: &PageRef, now: Instant) -> Result<bool, PageError> {
        let lasts = self.fetcher.access().cache_ttl();
        if let Some(is_open) = self.open_scopes.recall(&page.scope, now, lasts) {
            return Ok(is_open);
        }
        let asked = clock::now();
        let anonymous = Caller::anonymous();
        let route = Route::Page(page.clone());
        let upstream = &self.fetcher.dependencies.upstream;
        let question = UpstreamRequest::by(&route, &anonymous);
        let is_open = match upstream.page(&question).await? {
            PageAnswer::Refused(answer) if answer.says_no_package() => true,
            PageAnswer::Refused(answer) => match answer.status.as_u16() {
                401 | 403 | 404 => false,
                _ => {
                    let peer = upstream.peer_of(&page.scope);
                    return Err(UpstreamError::Failed(peer, answer.status).into());
                }
            },
            _ => true,
        };
        self.open_scopes.remember(&page.scope, is_open, asked);
        Ok(is_open)
    }

    /// Whether what GitLab said to a caller of a name that it does not show still means that there is
    /// none: a group may have given the name to another caller since.
    ///
    /// # Errors
    /// When that cannot be known.
    pub(in crate::index) async fn is_still_absent(
        &self,
        page: &PageRef,
    ) -> Result<bool, PageError> {
        Ok(page.scope.kind() != ScopeKind::Group || !self.had_page(page).await?)
    }

    /// Whether any caller was ever given this page, as far as memory and the store know. Memory
    /// knows it first: a page is stored behind the answer.
    async fn had_page(&self, page: &PageRef) -> Result<bool, PageError> {
        if self.fetcher.memory.holds(page) {
            return Ok(true);
        }
        let route = Route::Page(page.clone());
        match self.fetcher.dependencies.page_store.formats(&route).await {
            Ok(formats) => Ok(!formats.is_empty()),
            Err(why) => {
                tracing::warn!(error = %why, %route, "a stored page cannot be read");
                Err(PageError::Internal)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;

    /// status × body: what goes on to the next source, and what does not.
    #[test]
    fn only_no_such_package_is_a_miss() {
        let says = |status: u16, body: &'static str| {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            word(&PassThrough {
                status,
                reason: None,
                headers: HeaderMap::new(),
                body: Bytes::from_static(body.as_bytes()),
            })
        };
        let missing = r#"{"message":"404 Package Not Found"}"#;
        assert_eq!(says(404, missing), GitLabWord::NoPackage);
        for (status, body, expected) in [
            (401, missing, GitLabWord::ForCaller),
            (429, missing, GitLabWord::ForCaller),
            (403, missing, GitLabWord::Refused),
            (410, missing, GitLabWord::Refused),
            (404, r#"{"message":"404 Not Found"}"#, GitLabWord::Refused),
            (
                404,
                r#"{"message":"404 Group Not Found"}"#,
                GitLabWord::Refused,
            ),
            (
                404,
                r#"{"message":"404 Project Not Found"}"#,
                GitLabWord::Refused,
            ),
            (404, "", GitLabWord::Refused),
            (451, "", GitLabWord::Refused),
            (400, "", GitLabWord::Refused),
        ] {
            assert_eq!(says(status, body), expected, "{status} {body}");
        }
    }
}
