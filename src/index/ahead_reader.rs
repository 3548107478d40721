//! The pages of what a wheel requires, asked for ahead of the caller that takes it.
//!
//! By the way of the caller's own question, and only where that would be upstream's to answer; no
//! further than to the index that gave the wheel. Must not know how it is known what a wheel
//! requires.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pages;
use super::cache::freshness::UpstreamVerdict;
use super::cache::memory::CacheKey;
use super::fetch::Fetched;
use super::read_ahead::AnswerAhead;
use super::request::{PageReply, PageRequest};
use crate::access::{Authorization, Caller};
use crate::registry::{FileRef, PageRef, Scope};
use crate::simple::{Format, ProjectName};
use crate::upstream::Peer;
use crate::values::{clock, correlation};

/// A page must count as fresh for so long at least to be read ahead.
const FRESH_MIN: Duration = Duration::from_secs(1);

/// Reads ahead for a caller that takes a wheel.
pub struct AheadReader {
    pages: Arc<Pages>,
    caller: Caller,
    scope: Scope,
    format: Format,
}

impl AheadReader {
    /// Reads the pages of these projects, when it is known which they are; tells no one of a
    /// failure, because the caller's own question will.
    pub fn read(self, required: impl Future<Output = Vec<ProjectName>> + Send + 'static) {
        #[expect(
            clippy::disallowed_methods,
            reason = "no client waits for it; lost without harm"
        )]
        tokio::spawn(correlation::carried(async move {
            for project in required.await {
                self.read_page(project);
            }
        }));
    }

    /// How many pages may wait at most.
    pub fn most(&self) -> usize {
        self.pages.fetcher.config.read_ahead
    }

    fn read_page(&self, project: ProjectName) {
        let request = PageRequest {
            caller: self.caller.clone(),
            page: PageRef {
                scope: self.scope.clone(),
                name: Some(project),
            },
            format: self.format,
            insists: false,
            ahead: true,
        };
        let pages = Arc::clone(&self.pages);
        let now = clock::now();
        if !pages.has_to_ask(&request, now) || !pages.read_ahead.begin(&request, self.most(), now) {
            return;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not read ahead is asked for by the caller"
        )]
        tokio::spawn(correlation::carried(async move {
            let epoch = pages.fetcher.epoch();
            let answer = match pages.page_ahead(&request, now).await {
                Ok(PageReply::PassThrough(answer)) if !answer.asks_for_a_pause() => {
                    AnswerAhead::PassThrough(answer)
                }
                Err(Fetched::Forward { answer, to }) => AnswerAhead::Forward { answer, to },
                Ok(PageReply::Page { .. }) => return,
                Ok(PageReply::Stream(_)) | Err(Fetched::TooLarge(_)) => {
                    return pages.read_ahead.note_too_large(request.page);
                }
                // What fails, or asks for a pause, is not asked for more by larder's guess.
                Ok(PageReply::PassThrough(_)) | Err(_) => {
                    return pages
                        .read_ahead
                        .rest(request.caller.fingerprint(), clock::now());
                }
            };
            pages.read_ahead.hold(&request, answer, epoch, clock::now());
        }));
    }
}

impl Pages {
    /// What reads ahead for this caller when it takes this wheel; none if it is not known to
    /// resolve.
    pub fn ahead_reader(
        self: &Arc<Self>,
        caller: &Caller,
        wheel: &FileRef,
        now: Instant,
    ) -> Option<AheadReader> {
        let who = caller.fingerprint();
        let most = self.fetcher.config.read_ahead;
        let (scope, format) = self.read_ahead.place(who, wheel, most, now)?;
        Some(AheadReader {
            pages: Arc::clone(self),
            caller: caller.clone(),
            scope,
            format,
        })
    }

    /// What the index itself has. Where GitLab redirects, the redirect is not followed.
    async fn page_ahead(&self, request: &PageRequest, now: Instant) -> Result<PageReply, Fetched> {
        if request.page.scope.is_mirror() {
            return Ok(self.mirrored(request, now).await?);
        }
        self.own(request, now).await
    }

    /// Whether the caller's question for this page would be upstream's to answer, and may be asked.
    fn has_to_ask(&self, request: &PageRequest, now: Instant) -> bool {
        let fetcher = &self.fetcher;
        let page = &request.page;
        let changes = fetcher.changes().read();
        let forwards = &self.forwards;
        if page.scope.is_mirror() {
            if self.refuse_private(page.name.as_ref()).is_err() {
                return false;
            }
        } else if self.is_followed_by_another(&page.scope)
            || forwards
                .recall(request, now, changes, fetcher.access())
                .is_some()
        {
            return false;
        }
        let fresh_for = match fetcher.sources.mirror(&page.scope) {
            Some(mirror) => mirror.ttl,
            None => fetcher.config.ttl.0.min(fetcher.access().cache_ttl()),
        };
        let is_too_large =
            fetcher.large.recall(page).is_some() || self.read_ahead.is_too_large(page);
        if fresh_for < FRESH_MIN || is_too_large || fetcher.refused_lately(page, now).is_some() {
            return false;
        }
        let key = CacheKey::new(page.clone(), request.format, &request.caller);
        let Authorization::Proven(_) = fetcher.standing(request, now) else {
            return true;
        };
        match fetcher.memory.entry(&key) {
            Some((entry, _)) => !fetcher
                .decide(&key, &entry, UpstreamVerdict::Unasked, now)
                .is_shown_unasked(),
            None => true,
        }
    }

    /// Whether a parent answers for pages of this scope, which follows GitLab's redirects itself.
    fn is_followed_by_another(&self, scope: &Scope) -> bool {
        matches!(self.peer_of(scope), Peer::Parent(_) | Peer::Parents(_))
    }
}
