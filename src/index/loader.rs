//! One question to upstream about a page, shared by all who wait for the answer.
//!
//! Owns what is remembered of pages and for how long it counts, the single flight, the validator that is asked with, and
//! the way of a page between disk and memory. Must not conclude anything for a caller from an answer that another caller
//! was given; that is `settle`'s.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use moka::sync::Cache;
use tokio::sync::Semaphore;
use url::Url;

use super::config::IndexConfig;
use super::error::PageError;
use super::freshness::{Freshness, Lifetimes, freshness};
use super::memory::{Memory, Variant, View, ViewKey};
use super::page::{Page, Rewritten};
use super::reading::{PageStream, Reading, read};
use super::request::PageRequest;
use super::rewriting::{Order, Rewriting};
use super::sources::Sources;
use super::written::WrittenMark;
use crate::access::{Access, Fingerprint, Standing};
use crate::clock;
use crate::registry::{PageRef, Route, Scope};
use crate::simple::Format;
use crate::single_flight::{Landed, SingleFlight};
use crate::store::{Holdings, PageMeta, PageShelf, Sidecars};
use crate::upstream::{self, Ask, Relayed, Upstream, UpstreamError, Validators};

/// How often somebody who waits for pages to be put away looks.
const PUT_BY_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Pages remembered at once that are to be asked for again.
const OVERTAKEN_MAX: u64 = 65_536;

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
    Forward {
        relayed: Relayed,
        /// Who answers in GitLab's place.
        mirror: Option<Scope>,
    },
    Refused(Relayed),
    Failed(PageError),
}

/// One load at a time for a view. Callers whose right stands share it; others ask in their own name. Nobody joins one that was
/// begun before an upload, or before rights were revoked.
type LoadKey = (ViewKey, Option<Fingerprint>, [u64; 2]);

/// Who works for the index room.
#[derive(Clone)]
pub struct Parts {
    pub upstream: Arc<Upstream>,
    pub access: Arc<Access>,
    pub shelf: PageShelf,
    pub sidecars: Arc<Sidecars>,
    /// Wheels of a page whose metadata is worth having before anybody asks.
    pub ahead: usize,
    /// Of uploads through this process.
    pub written: Arc<WrittenMark>,
    /// Offline: what is here is all there is.
    pub held: Option<Holdings>,
}

pub(super) struct Loader {
    config: IndexConfig,
    parts: Parts,
    memory: Memory,
    loads: Arc<SingleFlight<LoadKey, Loaded>>,
    slots: Semaphore,
    sources: Sources,
    /// Pages that somebody wants asked for again, and since when.
    overtaken: Cache<PageRef, Instant>,
    /// When all pages were last forgotten.
    forgotten: Mutex<Option<Instant>>,
    /// Held by whoever is putting a page on the shelf.
    putting: Arc<()>,
}

impl Loader {
    pub(super) fn new(config: IndexConfig, sources: Sources, parts: Parts) -> Arc<Self> {
        let slots = Semaphore::new(config.loads.clamp(1, Semaphore::MAX_PERMITS));
        Arc::new(Self {
            memory: Memory::new(config.memory),
            config,
            sources,
            parts,
            loads: SingleFlight::new(),
            slots,
            overtaken: Cache::new(OVERTAKEN_MAX),
            forgotten: Mutex::default(),
            putting: Arc::default(),
        })
    }

    pub(super) fn access(&self) -> &Access {
        &self.parts.access
    }

    pub(super) fn shelf(&self) -> &PageShelf {
        &self.parts.shelf
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How many bytes prepared pages may take.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.config.memory.0
    }

    pub(super) fn changed_upstream(&self, now: Instant) {
        self.parts.written.changed(now);
    }

    /// From now on this page, and no other, has to be asked for before it counts as fresh.
    pub(super) fn overtake(&self, page: &PageRef, now: Instant) {
        self.overtaken.insert(page.clone(), now);
        // So that no load from before is joined.
        self.parts.written.part();
    }

    /// What is in memory counts no more, and neither does what is on its way there.
    pub(super) fn forget(&self, now: Instant) {
        *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.parts.written.part();
        self.memory.clear();
    }

    fn forgotten_at(&self) -> Option<Instant> {
        *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when GitLab's word has to be for it to count.
    pub(super) fn overtaken_at(&self) -> Option<Instant> {
        self.written_at().max(self.forgotten_at())
    }

    /// Lets a page that is about to be shown find out about new metadata.
    pub(super) async fn keep_up(&self, page: &Arc<Page>) {
        page.keep_up(&self.parts.sidecars, clock::now()).await;
    }

    pub(super) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Loads under way.
    pub(super) fn loading(&self) -> usize {
        self.loads.len()
    }

    pub(super) fn standing(&self, request: &PageRequest, now: Instant) -> Standing {
        self.parts.access.page(request.who, &request.page, now)
    }

    pub(super) fn freshness(&self, key: &ViewKey, view: &View, now: Instant) -> Freshness {
        let (lifetimes, written) = match self.sources.mirror(&key.page().scope) {
            // An upload goes to GitLab, and changes nothing elsewhere.
            Some(mirror) => (self.lifetimes(mirror.fresh_for, mirror.fresh_for), None),
            None => (
                self.lifetimes(self.config.fresh_for.0, self.config.stale_while_revalidate.0),
                self.written_at(),
            ),
        };
        let overtaken = written.max(self.overtaken.get(key.page())).max(self.forgotten_at());
        freshness(view.asked, now, overtaken, &lifetimes, view.variant.spread())
    }

    fn lifetimes(&self, fresh_for: Duration, while_revalidate: Duration) -> Lifetimes {
        Lifetimes { fresh_for, while_revalidate, if_error: self.config.stale_for.0 }
    }

    /// Whether so many uses since it was last asked for make a page worth renewing before it lapses.
    pub(super) fn is_hot(&self, uses: u32) -> bool {
        self.config.renew_from_uses > 0 && uses >= self.config.renew_from_uses
    }

    /// When something was last uploaded through us.
    pub(super) fn written_at(&self) -> Option<Instant> {
        self.parts.written.read().at
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
        let load_key = (key.clone(), asker, self.era());
        let work = move || async move {
            // A load that ended between this caller's look and its turn may have left nothing to ask.
            if let Some(page) = this.renewed_since(seen, &request, &view) {
                return Loaded::Fresh(page);
            }
            let loaded = this.ask(&request, &view).await;
            if let Loaded::Page { page, variant, asked, .. } = &loaded {
                this.parts.access.admit_page(request.who, &request.page, page.listings(), *asked);
                this.memory.show(&view, View::new(*variant, *asked));
            }
            loaded
        };
        self.loads.run(load_key, work).await.ok_or(PageError::Internal)
    }

    /// Whether a load of this view is under way that callers share whose right stands.
    pub(super) fn is_loading(&self, key: &ViewKey) -> bool {
        self.loads.is_running(&(key.clone(), None, self.era()))
    }

    /// What a load must have been begun in to be joined now.
    fn era(&self) -> [u64; 2] {
        [self.parts.written.read().count, self.parts.access.generation()]
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
        (newer
            && proven
            && !page.is_ripe(clock::wall())
            && self.freshness(key, &view, now) <= Freshness::Ageing)
            .then_some(page)
    }

    /// One question to upstream, with the validator of the page that this view, or failing that anybody, last had.
    pub(super) async fn ask(&self, request: &PageRequest, key: &ViewKey) -> Loaded {
        let address = key.page();
        let route = &Route::Page(address.clone());
        let Some(links) = self.sources.links(&address.scope) else {
            return Loaded::Failed(PageError::Internal);
        };
        let known = match self.memory.latest(key) {
            Some(known) => Some(known),
            None => self.recall(key).await,
        };
        // A page that lacks a file which has come of age since is made anew, unchanged or not.
        let askable = known.as_ref().filter(|(_, page)| !page.is_ripe(clock::wall()));
        let ask = Ask {
            validators: askable.map(|(_, page)| page.validators().clone()).unwrap_or_default(),
            accept: self.sources.asked_format(&address.scope, key.format()),
            who: Some(request.who),
            ..Ask::plain(route, &request.credential)
        };
        // Waiting for a turn is bounded: each load ahead has its own time-outs.
        let _slot = self.slots.acquire().await;
        let asked = clock::now();
        let answer = match self.parts.upstream.page(&ask).await {
            Ok(answer) => answer,
            Err(why) => return Loaded::Failed(why.into()),
        };
        match answer {
            upstream::PageAnswer::NotModified => match known {
                Some((variant, page)) => Loaded::Page { page, variant, asked, not_modified: true },
                // A 304 answers only a validator, and there was none: upstream is broken.
                None => {
                    Loaded::Failed(UpstreamError::Unusable("upstream answered 304 to a plain request").into())
                }
            },
            upstream::PageAnswer::Forward { relayed, mirror } => Loaded::Forward { relayed, mirror },
            upstream::PageAnswer::Refused(relayed) => Loaded::Refused(relayed),
            upstream::PageAnswer::Page { answer, url } => {
                let order = Order {
                    page: address.clone(),
                    target: key.format(),
                    url: url.clone(),
                    links: links.clone(),
                };
                match read(answer, order, self.config.page_size.bytes()).await {
                    Ok(Reading::Oversize(stream)) => Loaded::Oversize(Arc::new(Mutex::new(Some(stream)))),
                    Ok(Reading::Whole { rewritten, upstream_body, source }) => {
                        let meta = meta(&url, &rewritten.validators);
                        match self.prepare(*rewritten).await {
                            Ok(page) => {
                                let variant = self.memory.keep(key, &upstream_body, &page);
                                self.put_away(route.clone(), source, meta, upstream_body);
                                Loaded::Page { page, variant, asked, not_modified: false }
                            }
                            Err(why) => Loaded::Failed(why),
                        }
                    }
                    Err(why) => Loaded::Failed(why),
                }
            }
        }
    }

    async fn prepare(&self, rewritten: Rewritten) -> Result<Arc<Page>, PageError> {
        if rewritten.collected.withheld > 0 {
            tracing::info!(
                files = rewritten.collected.withheld,
                "files younger than min_age are left out of a page"
            );
        }
        let (sidecars, ahead) = (Arc::clone(&self.parts.sidecars), self.parts.ahead);
        let prepare = move || Page::prepare(rewritten, &sidecars, ahead, clock::now());
        let page = tokio::task::spawn_blocking(prepare).await.map_err(|_| PageError::Internal)??;
        Ok(Arc::new(page))
    }

    /// The page that an earlier process stored, in the format that would be asked for or else in the other, prepared
    /// anew.
    pub(super) async fn recall(&self, key: &ViewKey) -> Option<(Variant, Arc<Page>)> {
        let route = &Route::Page(key.page().clone());
        let first = self.sources.asked_format(&key.page().scope, key.format());
        let second = if first == Format::Json { Format::Html } else { Format::Json };
        for source in [first, second] {
            match self.parts.shelf.load(route, source).await {
                Ok(None) => {}
                Ok(Some((meta, body))) => match self.stored(key, source, &meta, &body).await {
                    Ok(page) => return Some((self.memory.keep(key, &body, &page), page)),
                    Err(why) => tracing::warn!(%why, %route, "a stored page is not usable any more"),
                },
                Err(why) => tracing::warn!(%why, %route, "a stored page cannot be read"),
            }
        }
        None
    }

    async fn stored(
        &self,
        key: &ViewKey,
        source: Format,
        meta: &PageMeta,
        body: &Bytes,
    ) -> Result<Arc<Page>, PageError> {
        let page = key.page().clone();
        let url = Url::parse(&meta.url).map_err(|_| PageError::Internal)?;
        let links = self.sources.links_of(&page.scope, &meta.url).ok_or(PageError::Internal)?;
        let order = Order { page, target: key.format(), url, links };
        let value = |text: &Option<String>| text.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        let validators = Validators { etag: value(&meta.etag), last_modified: value(&meta.last_modified) };
        self.prepare_stored(order, source, validators, body.clone()).await
    }

    /// Prepares a page that lies here whole, in the format `source`.
    pub(super) async fn prepare_stored(
        &self,
        order: Order,
        source: Format,
        validators: Validators,
        body: Bytes,
    ) -> Result<Arc<Page>, PageError> {
        let rewrite = move || Rewriting::whole(&order.job(source), &body, &validators);
        let rewritten = tokio::task::spawn_blocking(rewrite).await.map_err(|_| PageError::Internal)??;
        self.prepare(rewritten).await
    }

    /// Stores a page behind the answer; a disk that fails costs a reload after the next restart, no more.
    fn put_away(&self, route: Route, format: Format, meta: PageMeta, body: Bytes) {
        let (shelf, putting) = (self.parts.shelf.clone(), Arc::clone(&self.putting));
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not put away is asked for again, no more"
        )]
        tokio::spawn(async move {
            if let Err(why) = shelf.store(&route, format, meta, body).await {
                tracing::warn!(%why, %route, "a page cannot be stored");
            }
            drop(putting);
        });
    }

    /// Returns when every page that was answered with is on the shelf.
    pub(super) async fn put_by(&self) {
        while Arc::strong_count(&self.putting) > 1 {
            tokio::time::sleep(PUT_BY_LOOK_EVERY).await;
        }
    }
}

fn meta(url: &Url, validators: &Validators) -> PageMeta {
    let text = |value: &Option<HeaderValue>| Some(value.as_ref()?.to_str().ok()?.to_owned());
    PageMeta {
        etag: text(&validators.etag),
        last_modified: text(&validators.last_modified),
        url: url.to_string(),
    }
}
