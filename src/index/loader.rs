//! One question to upstream about a page, shared by all who wait for the answer.
//!
//! Owns what is remembered of pages and for how long it counts, the single flight, the validator that is asked with, and
//! the way of a page between disk and memory. Must not conclude anything for a caller from an answer that another caller
//! was given; that is `settle`'s.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::config::IndexConfig;
use super::error::PageError;
use super::freshness::{Freshness, Lifetimes, freshness};
use super::links::LinkRewriter;
use super::memory::{Memory, Variant, View, ViewKey};
use super::page::Page;
use super::reading::{PageStream, Reading, read};
use super::request::PageRequest;
use crate::access::{Access, Fingerprint, Standing};
use crate::clock;
use crate::registry::{PageRef, Route};
use crate::single_flight::{Landed, SingleFlight};
use crate::store::{PageMeta, PageShelf};
use crate::upstream::{self, Ask, Relayed, Upstream, UpstreamError, Validators};

/// How a load ended; shared by all who waited for it.
#[derive(Clone)]
pub(super) enum Loaded {
    Page {
        page: Arc<Page>,
        variant: Variant,
        asked: Instant,
        not_modified: bool,
    },
    /// Nothing had to be asked.
    Fresh(Arc<Page>),
    /// For one taker; the others ask for themselves.
    Oversize(Arc<Mutex<Option<Box<PageStream>>>>),
    Forward(Relayed),
    Refused(Relayed),
    Failed(PageError),
}

/// One load at a time for a view. Callers whose right stands share it; others ask in their own name.
type LoadKey = (ViewKey, Option<Fingerprint>, u64);

pub(super) struct Loader {
    config: IndexConfig,
    upstream: Arc<Upstream>,
    access: Arc<Access>,
    shelf: Option<PageShelf>,
    memory: Memory,
    loads: Arc<SingleFlight<LoadKey, Loaded>>,
    slots: Semaphore,
    links: LinkRewriter,
    written: Mutex<Written>,
}

/// When something last changed upstream through us. Counted as well, so that no load from before is joined after.
#[derive(Clone, Copy)]
struct Written {
    at: Option<Instant>,
    count: u64,
}

impl Loader {
    pub(super) fn new(
        config: IndexConfig,
        upstream: Arc<Upstream>,
        access: Arc<Access>,
        shelf: Option<PageShelf>,
        path_prefix: &str,
    ) -> Arc<Self> {
        let slots = Semaphore::new(config.loads.clamp(1, Semaphore::MAX_PERMITS));
        Arc::new(Self {
            memory: Memory::new(config.memory),
            links: LinkRewriter::new(upstream.bases().clone(), path_prefix),
            config,
            upstream,
            access,
            shelf,
            loads: SingleFlight::new(),
            slots,
            written: Mutex::new(Written { at: None, count: 0 }),
        })
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn changed_upstream(&self, now: Instant) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        *written = Written { at: Some(now), count: written.count + 1 };
    }

    /// Loads under way.
    pub(super) fn loading(&self) -> usize {
        self.loads.len()
    }

    pub(super) fn standing(&self, request: &PageRequest, now: Instant) -> Standing {
        self.access.page(request.who, &request.page, now)
    }

    pub(super) fn freshness(&self, view: &View, now: Instant) -> Freshness {
        let lifetimes = Lifetimes {
            fresh_for: self.config.fresh_for.0,
            while_revalidate: self.config.stale_while_revalidate.0,
            if_error: self.config.stale_for.0,
        };
        freshness(view.asked, now, self.written().at, &lifetimes, view.variant.spread())
    }

    /// Whether so many uses since it was last asked for make a page worth renewing before it lapses.
    pub(super) fn is_hot(&self, uses: u32) -> bool {
        self.config.renew_from_uses > 0 && uses >= self.config.renew_from_uses
    }

    fn written(&self) -> Written {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a page, or waits for the load of it that is under way.
    ///
    /// `asker` is set for a caller whose right is not known, who shares loads with nobody else. `seen` is when the page
    /// was asked for that the caller found not good enough; a newer one will do.
    pub(super) async fn load(
        self: &Arc<Self>,
        request: &PageRequest,
        key: &ViewKey,
        asker: Option<Fingerprint>,
        seen: Option<Instant>,
    ) -> Result<Landed<Loaded>, PageError> {
        let this = Arc::clone(self);
        let (request, view) = (request.clone(), key.clone());
        let load_key = (key.clone(), asker, self.written().count);
        let work = move || async move {
            // A load that ended between this caller's look and its turn may have left nothing to ask.
            if let Some(page) = this.renewed_since(seen, &request, &view) {
                return Loaded::Fresh(page);
            }
            let loaded = this.ask(&request, &view).await;
            if let Loaded::Page { page, variant, asked, .. } = &loaded {
                this.access.admit_page(request.who, &request.page, page.listings(), *asked);
                this.memory.show(&view, View::new(*variant, *asked));
            }
            loaded
        };
        self.loads.run(load_key, work).await.ok_or(PageError::Internal)
    }

    /// Whether a load of this view is under way that callers share whose right stands.
    pub(super) fn is_loading(&self, key: &ViewKey) -> bool {
        self.loads.is_running(&(key.clone(), None, self.written().count))
    }

    /// The page, if it was asked for after `seen`, is fresh, and this caller's right to it stands.
    fn renewed_since(
        &self,
        seen: Option<Instant>,
        request: &PageRequest,
        key: &ViewKey,
    ) -> Option<Arc<Page>> {
        let now = clock::now();
        let (view, page) = self.memory.view(key).filter(|_| !request.insists)?;
        let newer = seen.is_none_or(|seen| view.asked > seen);
        let proven = self.standing(request, now).permit().is_some();
        (newer && proven && self.freshness(&view, now) <= Freshness::Ageing).then_some(page)
    }

    /// One question to upstream, with the validator of the page that this view, or failing that anybody, last had.
    pub(super) async fn ask(&self, request: &PageRequest, key: &ViewKey) -> Loaded {
        let route = &Route::Page(key.page().clone());
        let known = match self.memory.latest(key) {
            Some(known) => Some(known),
            None => self.recall(key.page()).await,
        };
        let etag = known.as_ref().and_then(|(_, page)| page.upstream_etag().cloned());
        let mut ask = Ask::plain(route, &request.credential);
        ask.validators = Validators { etag, last_modified: None };
        // Waiting for a turn is bounded: each load ahead has its own time-outs.
        let _slot = self.slots.acquire().await;
        let asked = clock::now();
        let answer = match self.upstream.page(&ask).await {
            Ok(answer) => answer,
            Err(why) => return Loaded::Failed(why.into()),
        };
        match answer {
            upstream::PageAnswer::NotModified => match known {
                Some((variant, page)) => Loaded::Page { page, variant, asked, not_modified: true },
                // A 304 answers only a validator, and there was none: upstream is broken.
                None => {
                    Loaded::Failed(UpstreamError::Unusable("GitLab answered 304 to a plain request").into())
                }
            },
            upstream::PageAnswer::Forward(relayed) => Loaded::Forward(relayed),
            upstream::PageAnswer::Refused(relayed) => Loaded::Refused(relayed),
            upstream::PageAnswer::Page(answer) => {
                let url = self.upstream.bases().asked().url(route);
                match read(answer, url, self.links.clone(), self.config.page_size.bytes()).await {
                    Ok(Reading::Whole { page, upstream_body, meta }) => {
                        let variant = self.memory.keep(key.page(), &upstream_body, &page);
                        self.put_away(route.clone(), meta, upstream_body);
                        Loaded::Page { page, variant, asked, not_modified: false }
                    }
                    Ok(Reading::Oversize(stream)) => Loaded::Oversize(Arc::new(Mutex::new(Some(stream)))),
                    Err(why) => Loaded::Failed(why),
                }
            }
        }
    }

    /// The page that an earlier process stored, prepared anew.
    async fn recall(&self, address: &PageRef) -> Option<(Variant, Arc<Page>)> {
        let route = &Route::Page(address.clone());
        let stored = self.shelf.as_ref()?.load(route).await;
        let (meta, body) = match stored {
            Ok(found) => found?,
            Err(why) => {
                tracing::warn!(%why, %route, "a stored page cannot be read");
                return None;
            }
        };
        match Page::prepare(&meta, &body, self.links.clone()).await {
            Ok(page) => {
                let page = Arc::new(page);
                Some((self.memory.keep(address, &body, &page), page))
            }
            Err(why) => {
                tracing::warn!(%why, %route, "a stored page is not usable any more");
                None
            }
        }
    }

    /// Stores a page behind the answer; a disk that fails costs a reload after the next restart, no more.
    fn put_away(&self, route: Route, meta: PageMeta, body: bytes::Bytes) {
        let Some(shelf) = self.shelf.clone() else { return };
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not put away is asked for again, no more"
        )]
        tokio::spawn(async move {
            if let Err(why) = shelf.store(&route, meta, body).await {
                tracing::warn!(%why, %route, "a page cannot be stored");
            }
        });
    }
}
