//! The pages of what a wheel requires, asked for ahead of the caller that takes it.
//!
//! By the way of the caller's own question, and only where that would be upstream's to answer. Must
//! not know how it is known what a wheel requires.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pages;
use super::cache::freshness::UpstreamVerdict;
use super::cache::memory::CacheKey;
use super::request::{PageReply, PageRequest};
use crate::access::{Authorization, Caller};
use crate::registry::{PageRef, Scope};
use crate::simple::{Format, ProjectName};
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
            match pages.online_page(&request, now).await {
                Ok(PageReply::PassThrough(answer)) if !answer.asks_for_a_pause() => {
                    pages.read_ahead.hold(&request, answer, epoch);
                }
                Ok(_) => {}
                Err(why) => {
                    tracing::debug!(page = %request.page.path(), error = %why, "a page cannot be read ahead");
                }
            }
        }));
    }
}

impl Pages {
    /// What reads ahead for this caller when it takes this wheel; none if it is not known to
    /// resolve.
    pub fn ahead_reader(
        self: &Arc<Self>,
        caller: &Caller,
        wheel: &str,
        now: Instant,
    ) -> Option<AheadReader> {
        let who = caller.fingerprint();
        let (scope, format) = self.read_ahead.place(who, wheel, now)?;
        Some(AheadReader {
            pages: Arc::clone(self),
            caller: caller.clone(),
            scope,
            format,
        })
    }

    /// Whether the caller's question for this page would be upstream's to answer, and may be asked.
    fn has_to_ask(&self, request: &PageRequest, now: Instant) -> bool {
        let fetcher = &self.fetcher;
        let changes = fetcher.changes().read();
        let forward = self
            .forwards
            .recall(request, now, changes, fetcher.access());
        let page = match forward {
            Some(mirror) => PageRef {
                scope: mirror,
                name: request.page.name.clone(),
            },
            None => request.page.clone(),
        };
        if page.scope.is_mirror() && self.refuse_private(page.name.as_ref()).is_err() {
            return false;
        }
        let fresh_for = match fetcher.sources.mirror(&page.scope) {
            Some(mirror) => mirror.ttl,
            None => fetcher.config.ttl.0.min(fetcher.access().cache_ttl()),
        };
        let is_too_large = fetcher.large.recall(&page).is_some();
        if fresh_for < FRESH_MIN || is_too_large || fetcher.refused_lately(&page, now).is_some() {
            return false;
        }
        let there = PageRequest {
            page,
            ..request.clone()
        };
        let key = CacheKey::new(there.page.clone(), there.format, &there.caller);
        let Authorization::Proven(_) = fetcher.standing(&there, now) else {
            return true;
        };
        match fetcher.memory.entry(&key) {
            Some((entry, _)) => !fetcher
                .decide(&key, &entry, UpstreamVerdict::Unasked, now)
                .is_shown_unasked(),
            None => true,
        }
    }
}
