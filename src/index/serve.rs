//! A page of the scope's own upstream: from memory while it is fresh, or fetched, or the stored one
//! where upstream fails.
//!
//! Must not know what a forwarded package is answered with.

use std::sync::Arc;
use std::time::Instant;

use super::Pages;
use super::cache::freshness::{UpstreamVerdict, Use};
use super::cache::memory::{CacheEntry, CacheKey};
use super::cache::page::Page;
use super::error::PageError;
use super::fetch::Fetched;
use super::read_ahead::GivenFiles;
use super::request::{PageReply, PageRequest};
use crate::access::{Authorization, Permit};
use crate::registry::PageRef;
use crate::simple::Format;
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::single_flight::SharedResult;
use crate::values::{clock, correlation};

impl Pages {
    /// The page in memory, where nothing has to be waited for: what [`Pages::page`] would give, and
    /// without the way through its futures, which costs as much as all look-ups of a hit.
    pub fn page_at_once(&self, request: &PageRequest, now: Instant) -> Option<PageReply> {
        let may_wait = self.offline.is_some() || self.is_judged_by_dates(&request.page.scope);
        let is_view = self.view(&request.page.scope).is_some();
        if request.insists || may_wait || is_view || self.read_ahead.expects(request) {
            return None;
        }
        let reply = self.held_page(request, now)?;
        if let PageReply::Page { page, status, .. } = &reply {
            if *status != CacheStatus::HIT {
                self.read_ahead.given(request, GivenFiles::of(page), now);
            }
            if request.format == Format::Json {
                let dates = &self.fetcher.dependencies.dates;
                dates.want(&request.caller, &request.page, page.undated());
            }
        }
        Some(reply)
    }

    fn held_page(&self, request: &PageRequest, now: Instant) -> Option<PageReply> {
        let PageRef { scope, name } = &request.page;
        let fetcher = &self.fetcher;
        let reply = if scope.is_mirror() {
            let is_for_all = fetcher.sources.audience(scope).is_none();
            if !is_for_all || name.as_ref().is_some_and(|name| self.is_private(name)) {
                return None;
            }
            self.own_held(&request.anonymously(), now)?
        } else {
            let changes = fetcher.changes().read();
            let known = self
                .forwards
                .recall(request, now, changes, fetcher.access());
            if let Some(mirror) = known {
                let may_stand_in = !fetcher.dependencies.upstream.forwards_not_found();
                return match may_stand_in {
                    true => self.held_page(&request.at(mirror), now),
                    false => None,
                };
            }
            self.own_held(request, now)?
        };
        self.note_past(&request.page, &reply, now);
        Some(reply)
    }

    fn own_held(&self, request: &PageRequest, now: Instant) -> Option<PageReply> {
        let fetcher = &self.fetcher;
        let permit = fetcher.standing(request, now).permit()?;
        if fetcher.refused_lately(&request.page, now).is_some() {
            return None;
        }
        let key = CacheKey::new(request.page.clone(), request.format, &request.caller);
        let known = fetcher.memory.entry(&key)?;
        let knows_all = known.1.knows_all(&fetcher.dependencies.metadata_index);
        if !knows_all || fetcher.is_due_again(&key, &known.1) {
            return None;
        }
        self.answer_from_memory(request, &key, permit, &known, now)
    }

    /// What the scope's own upstream has. The error may be a [`Fetched::Forward`]: GitLab has no
    /// such package.
    pub(super) async fn own(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<PageReply, Fetched> {
        let fetcher = &self.fetcher;
        let key = CacheKey::new(request.page.clone(), request.format, &request.caller);
        let standing = fetcher.standing(request, now);
        if !request.insists
            && let Some(refusal) = fetcher.refused_lately(&request.page, now)
        {
            return Ok(PageReply::PassThrough(refusal));
        }
        let mut known = fetcher.memory.entry(&key);
        let mut is_due_again = false;
        if let Some((entry, page)) = &mut known
            && fetcher.is_due_again(&key, page)
        {
            let made = fetcher.up_to_date(&key, entry.body, Arc::clone(page));
            *page = Box::pin(made).await;
            is_due_again = fetcher.is_due_again(&key, page);
        }
        if !request.insists
            && !is_due_again
            && let Authorization::Proven(permit) = standing
            && let Some(known) = &known
            && let Some(reply) = self.answer_from_memory(request, &key, permit, known, now)
        {
            return Ok(reply);
        }
        // Larger than what a hit needs.
        Box::pin(self.ask_upstream(request, &key, standing, known)).await
    }

    /// The page as upstream has it now, or what is known where it cannot be had.
    async fn ask_upstream(
        &self,
        request: &PageRequest,
        key: &CacheKey,
        standing: Authorization,
        known: Option<(CacheEntry, Arc<Page>)>,
    ) -> Result<PageReply, Fetched> {
        let fetcher = &self.fetcher;
        let seen = known.as_ref().map(|(entry, _)| entry.asked);
        let who = request.caller.fingerprint();
        let asker = match standing {
            Authorization::Proven(_) => None,
            Authorization::Unproven => Some(who),
        };
        let shared = fetcher.fetch(request, key, asker, seen).await?;
        let mut applied = fetcher.apply(request, key, shared, standing, clock::now());
        // The fetch that was joined asked in another caller's name: ask in this one's.
        if let Err(Fetched::Foreign) = applied {
            let shared = fetcher.fetch(request, key, Some(who), seen).await?;
            let own = SharedResult {
                joined: false,
                ..shared
            };
            applied = fetcher.apply(request, key, own, standing, clock::now());
        }
        // It gave a stream, which has one taker: ask for one of this caller's own.
        if let Err(Fetched::TooLarge(_)) = applied
            && !request.ahead
        {
            let own = SharedResult {
                value: fetcher.ask(request, key).await,
                joined: false,
            };
            applied = fetcher.apply(request, key, own, standing, clock::now());
        }
        match applied {
            Err(Fetched::Failed(why)) => {
                let stale = self.in_default(request, key, known, &why).await;
                stale.ok_or(Fetched::Failed(why))
            }
            Err(Fetched::Refused(answer)) => {
                let stale = self.in_default(request, key, known, &"upstream asks for a pause");
                let stale = stale.await;
                Ok(stale.unwrap_or(PageReply::PassThrough(answer)))
            }
            applied => applied,
        }
    }

    /// The page in memory, if it may be shown without asking; it is renewed behind the answer when
    /// it is about to lapse.
    fn answer_from_memory(
        &self,
        request: &PageRequest,
        key: &CacheKey,
        permit: Permit,
        (entry, page): &(CacheEntry, Arc<Page>),
        now: Instant,
    ) -> Option<PageReply> {
        let decided = self
            .fetcher
            .decide(key, entry, UpstreamVerdict::Unasked, now);
        if !decided.is_shown_unasked() {
            return None;
        }
        let uses = entry.used();
        let lapsed = decided == Use::ShowAndAsk;
        if lapsed || (decided == Use::Show { due: true } && self.fetcher.is_hot(uses)) {
            self.renew_behind(request, key, entry.asked, Authorization::Proven(permit));
        }
        let (status, age) = if lapsed {
            let age = now.saturating_duration_since(entry.asked);
            (CacheStatus::new(Outcome::Updating), Some(age))
        } else {
            (CacheStatus::HIT, None)
        };
        let page = Arc::clone(page);
        Some(self.fetcher.reply(request, permit, page, status, age))
    }

    /// The page of before in place of one that upstream failed to give, if it is usable and the
    /// caller's right stands.
    ///
    /// A mirror's page that an earlier process stored will do as well: there is no right to it that
    /// could have ended meanwhile.
    async fn in_default(
        &self,
        request: &PageRequest,
        key: &CacheKey,
        known: Option<(CacheEntry, Arc<Page>)>,
        why: &(dyn std::fmt::Display + Sync),
    ) -> Option<PageReply> {
        let now = clock::now();
        let fetcher = &self.fetcher;
        let (body, asked, page) = match known {
            Some((entry, page)) => (entry.body, Some(entry.asked), page),
            None if request.page.scope.is_mirror() => {
                let latest = fetcher.memory.latest(key)?;
                (latest.body, latest.asked, latest.page)
            }
            None => return None,
        };
        let failed = UpstreamVerdict::Failed;
        if fetcher.decide_as_of(key.page(), asked, body.spread(), failed, now) != Use::ShowStale {
            return None;
        }
        let Authorization::Proven(permit) = fetcher.standing(request, now) else {
            return None;
        };
        let page = Box::pin(fetcher.up_to_date(key, body, page)).await;
        if fetcher.may_show_refused(key, &page) {
            tracing::warn!(
                "a stored page cannot be made again by the policies of now, and is not shown"
            );
            return None;
        }
        let age = asked.map(|asked| now.saturating_duration_since(asked));
        tracing::warn!(error = %why, "serving a stored page: upstream failed");
        self.stale.note(&request.page, age, now);
        let status = CacheStatus::new(Outcome::Stale);
        Some(fetcher.reply(request, permit, page, status, age))
    }

    /// Asks for a page again while the one that is known is served: one such question at a time, in
    /// this caller's name.
    pub(super) fn renew_behind(
        &self,
        request: &PageRequest,
        key: &CacheKey,
        seen: Instant,
        standing: Authorization,
    ) {
        if self.fetcher.is_fetching(key) {
            return;
        }
        let fetcher = Arc::clone(&self.fetcher);
        let request = request.clone();
        let key = key.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not renewed is asked for by the next caller"
        )]
        tokio::spawn(correlation::carried(async move {
            let fetched: Result<_, PageError> =
                fetcher.fetch(&request, &key, None, Some(seen)).await;
            if let Ok(shared) = fetched {
                drop(fetcher.apply(&request, &key, shared, standing, clock::now()));
            }
        }));
    }
}
