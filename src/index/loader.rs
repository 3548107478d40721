//! One question to upstream about a page, shared by all who wait for the answer.
//!
//! Owns what is remembered of pages and for how long it counts, the single flight, the validator that is asked with, and
//! the way of a page between disk and memory. Must not conclude anything for a caller from an answer that another caller
//! was given; that is `settle`'s.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::HeaderValue;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use url::Url;

use super::config::IndexConfig;
use super::error::PageError;
use super::freshness::{Known, Lifetimes, Source, Use, Word, decide};
use super::large_pages::LargePages;
use super::memory::{Latest, Memory, Variant, View, ViewKey};
use super::page::{Page, Rewritten};
use super::reading::{PageStream, Reading, read};
use super::refusals::Refusals;
use super::request::PageRequest;
use super::rewriting::{Order, Rewriting};
use super::sources::Sources;
use super::written::WrittenMark;
use crate::access::{Access, Authorization, Fingerprint};
use crate::registry::{PageRef, Route, Scope};
use crate::simple::Format;
use crate::store::{Holdings, PageMeta, PageStore, Sidecars};
use crate::upstream::{
    self, PassThrough, Upstream, UpstreamError, UpstreamRequest, UpstreamResponse, Validators,
};
use crate::values::clock;
use crate::values::single_flight::{Landed, SingleFlight};

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
        relayed: PassThrough,
        /// Who answers in GitLab's place.
        mirror: Option<Scope>,
    },
    Refused(PassThrough),
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
    pub page_store: PageStore,
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
    refusals: Refusals,
    large: LargePages,
    loads: Arc<SingleFlight<LoadKey, Loaded>>,
    slots: Semaphore,
    sources: Sources,
    /// Pages that somebody wants asked for again, and since when.
    overtaken: Cache<PageRef, Instant>,
    /// When all pages were last forgotten.
    forgotten: Mutex<Option<Instant>>,
    /// Held by whoever is putting a page on the page_store.
    putting: Arc<()>,
}

impl Loader {
    pub(super) fn new(config: IndexConfig, sources: Sources, parts: Parts) -> Arc<Self> {
        let slots = Semaphore::new(config.max_fetches.clamp(1, Semaphore::MAX_PERMITS));
        Arc::new(Self {
            memory: Memory::new(config.memory),
            refusals: Refusals::new(config.memory),
            large: LargePages::new(),
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

    pub(super) fn page_store(&self) -> &PageStore {
        &self.parts.page_store
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What is known of pages that are too large to keep.
    pub(super) fn large(&self) -> &LargePages {
        &self.large
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
        self.refusals.silence(page);
        // So that no load from before is joined.
        self.parts.written.part();
    }

    /// What is in memory counts no more, and neither does what is on its way there.
    pub(super) fn forget(&self, now: Instant) {
        *self.forgotten.lock() = Some(now);
        self.parts.written.part();
        self.memory.clear();
        self.refusals.clear();
        self.large.clear();
    }

    fn forgotten_at(&self) -> Option<Instant> {
        *self.forgotten.lock()
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

    pub(super) fn standing(&self, request: &PageRequest, now: Instant) -> Authorization {
        self.parts
            .access
            .page(request.caller.fingerprint(), &request.page, now)
    }

    /// What becomes of a view's page.
    pub(super) fn decide(&self, key: &ViewKey, view: &View, word: Word, now: Instant) -> Use {
        self.decide_as_of(
            key.page(),
            (Some(view.asked), view.variant.spread()),
            word,
            now,
        )
    }

    /// What becomes of a page of which upstream last spoke when it was asked at `asked`.
    pub(super) fn decide_as_of(
        &self,
        page: &PageRef,
        (asked, spread): (Option<Instant>, f64),
        word: Word,
        now: Instant,
    ) -> Use {
        let (source, lifetimes, written) = match self.sources.mirror(&page.scope) {
            // An upload goes to GitLab, and changes nothing elsewhere.
            Some(mirror) => (Source::Mirror, self.lifetimes(mirror.ttl), None),
            None => (
                Source::GitLab,
                self.lifetimes(self.config.ttl.0),
                self.written_at(),
            ),
        };
        let overtaken = written
            .max(self.overtaken.get(page))
            .max(self.forgotten_at());
        let known = Known {
            age: asked.map(|asked| now.saturating_duration_since(asked)),
            overtaken: overtaken.is_some_and(|at| asked.is_none_or(|asked| asked <= at)),
            spread,
        };
        // Said meanwhile, to whoever asked in another format.
        let ended = source == Source::Mirror && self.refusals.overrule(page, asked);
        decide(
            source,
            known,
            if ended { Word::Ended } else { word },
            &lifetimes,
        )
    }

    /// What a mirror said lately of a page that it does not give.
    pub(super) fn refused_lately(&self, page: &PageRef, now: Instant) -> Option<PassThrough> {
        let lasts = self.sources.mirror(&page.scope)?.ttl.min(self.config.ttl.0);
        self.refusals.recall(page, now, lasts)
    }

    fn lifetimes(&self, ttl: Duration) -> Lifetimes {
        let IndexConfig {
            stale_while_revalidate,
            stale_if_error,
            ..
        } = &self.config;
        Lifetimes {
            ttl,
            while_revalidate: stale_while_revalidate.0,
            if_error: stale_if_error.0,
        }
    }

    /// Whether so many uses since it was last asked for make a page worth renewing before it lapses.
    pub(super) fn is_hot(&self, uses: u32) -> bool {
        self.config.refresh_ahead_hits > 0 && uses >= self.config.refresh_ahead_hits
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
            if let Loaded::Page {
                page,
                variant,
                asked,
                ..
            } = &loaded
            {
                this.parts.access.admit_page(
                    request.caller.fingerprint(),
                    &request.page,
                    page.listings(),
                    *asked,
                );
                this.memory.show(&view, View::new(*variant, *asked));
            }
            loaded
        };
        self.loads
            .run(load_key, work)
            .await
            .ok_or(PageError::Internal)
    }

    /// Whether a load of this view is under way that callers share whose right stands.
    pub(super) fn is_loading(&self, key: &ViewKey) -> bool {
        self.loads.is_running(&(key.clone(), None, self.era()))
    }

    /// What a load must have been begun in to be joined now.
    fn era(&self) -> [u64; 2] {
        [
            self.parts.written.read().count,
            self.parts.access.generation(),
        ]
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
            && matches!(
                self.decide(key, &view, Word::Unasked, now),
                Use::Show { .. }
            ))
        .then_some(page)
    }

    /// One question to upstream, with the validator of the page that this view, or failing that anybody, last had.
    pub(super) async fn ask(self: &Arc<Self>, request: &PageRequest, key: &ViewKey) -> Loaded {
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
        let askable = known
            .as_ref()
            .filter(|known| !known.page.is_ripe(clock::wall()));
        let ask = UpstreamRequest {
            validators: askable
                .map(|known| known.page.validators().clone())
                .unwrap_or_default(),
            accept: self.sources.asked_format(&address.scope, key.format()),
            ..UpstreamRequest::by(route, &request.caller)
        };
        // Waiting for a turn is bounded: each load ahead has its own time-outs.
        let _slot = self.slots.acquire().await;
        let asked = Asked {
            at: clock::now(),
            wall: clock::wall(),
        };
        let answer = match self.parts.upstream.page(&ask).await {
            Ok(answer) => answer,
            Err(why) => {
                if why.is_refusal_of_what_was_asked() {
                    self.end(key, None, asked.at).await;
                }
                return Loaded::Failed(why.into());
            }
        };
        match answer {
            upstream::PageAnswer::NotModified => match known {
                Some(Latest { variant, page, .. }) => {
                    self.confirmed(address, &page, asked);
                    Loaded::Page {
                        page,
                        variant,
                        asked: asked.at,
                        not_modified: true,
                    }
                }
                // A 304 answers only a validator, and there was none: upstream is broken.
                None => Loaded::Failed(
                    UpstreamError::Unusable("upstream answered 304 to a plain request").into(),
                ),
            },
            upstream::PageAnswer::Forward {
                pass_through: relayed,
                mirror,
            } => Loaded::Forward { relayed, mirror },
            upstream::PageAnswer::Refused(relayed) => {
                let word = Word::of_refusal(relayed.status);
                if self.decide_as_of(address, (None, 0.0), word, asked.at) == Use::End {
                    self.end(key, Some(relayed.clone()), asked.at).await;
                }
                Loaded::Refused(relayed)
            }
            upstream::PageAnswer::Page { answer, url } => {
                let order = Order {
                    page: address.clone(),
                    target: key.format(),
                    url,
                    links: links.clone(),
                };
                self.take_in(key, answer, order, asked).await
            }
        }
    }

    /// Reads a page that came, and keeps it if it is not too large.
    async fn take_in(
        self: &Arc<Self>,
        key: &ViewKey,
        answer: UpstreamResponse,
        order: Order,
        asked: Asked,
    ) -> Loaded {
        let (address, url) = (key.page(), order.url.clone());
        let (rewritten, upstream_body, source) =
            match read(answer, order, self.config.page_size.bytes()).await {
                Ok(Reading::Whole {
                    rewritten,
                    upstream_body,
                    source,
                }) => (rewritten, upstream_body, source),
                Ok(Reading::Oversize(stream)) => {
                    self.refusals.lift(address, asked.at);
                    return Loaded::Oversize(Arc::new(Mutex::new(Some(stream))));
                }
                Err(why) => return Loaded::Failed(why),
            };
        let meta = meta(&url, &rewritten.validators);
        let page = match self.prepare(*rewritten).await {
            Ok(page) => page,
            Err(why) => return Loaded::Failed(why),
        };
        self.refusals.lift(address, asked.at);
        let variant = self.memory.keep(key, &upstream_body, &page, Some(asked.at));
        self.put_away(address, source, (meta, upstream_body), asked);
        Loaded::Page {
            page,
            variant,
            asked: asked.at,
            not_modified: false,
        }
    }

    /// A mirror took a page back, or never had it: nothing of it is left, here or on the disk, before anybody is told.
    async fn end(&self, key: &ViewKey, word: Option<PassThrough>, asked: Instant) {
        let page = key.page();
        // First, so that nothing that is under way puts it up again.
        self.refusals.note(page, word, asked);
        self.memory.end(key);
        self.withdraw(page, self.large.take(page)).await;
    }

    async fn withdraw(&self, page: &PageRef, known: bool) {
        let route = Route::Page(page.clone());
        match self.parts.page_store.withdraw(&route, known).await {
            Ok(true) => {
                tracing::info!(%route, "upstream took a page back: what was stored of it is over")
            }
            Ok(false) => {}
            Err(why) => {
                tracing::error!(error = %why, %route, "a page that upstream took back cannot be taken off the disk");
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
        let page = tokio::task::spawn_blocking(prepare)
            .await
            .map_err(|_| PageError::Internal)??;
        Ok(Arc::new(page))
    }

    /// The page that an earlier process stored, in the format that would be asked for or else in the other, prepared
    /// anew, and as old as it is.
    pub(super) async fn recall(&self, key: &ViewKey) -> Option<Latest> {
        let route = &Route::Page(key.page().clone());
        let first = self.sources.asked_format(&key.page().scope, key.format());
        let second = if first == Format::Json {
            Format::Html
        } else {
            Format::Json
        };
        for source in [first, second] {
            // Before the page: of one that is replaced meanwhile the older time counts.
            let spoken = self
                .parts
                .page_store
                .last_word(route, source)
                .await
                .ok()
                .flatten();
            match self.parts.page_store.load(route, source).await {
                Ok(None) => {}
                Ok(Some((meta, body))) => match self.stored(key, source, &meta, &body).await {
                    Ok(page) => {
                        let asked =
                            spoken.and_then(|spoken| ago(spoken, clock::wall(), clock::now()));
                        let variant = self.memory.keep(key, &body, &page, asked);
                        return Some(Latest {
                            variant,
                            asked,
                            page,
                        });
                    }
                    Err(why) => {
                        tracing::warn!(error = %why, %route, "a stored page is not usable any more")
                    }
                },
                Err(why) => tracing::warn!(error = %why, %route, "a stored page cannot be read"),
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
        let links = self
            .sources
            .links_of(&page.scope, &meta.url)
            .ok_or(PageError::Internal)?;
        let order = Order {
            page,
            target: key.format(),
            url,
            links,
        };
        let value = |text: &Option<String>| {
            text.as_deref()
                .and_then(|text| HeaderValue::from_str(text).ok())
        };
        let validators = Validators {
            etag: value(&meta.etag),
            last_modified: value(&meta.last_modified),
        };
        self.prepare_stored(order, source, validators, body.clone())
            .await
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
        let rewritten = tokio::task::spawn_blocking(rewrite)
            .await
            .map_err(|_| PageError::Internal)??;
        self.prepare(rewritten).await
    }

    /// Stores a page behind the answer; a disk that fails costs a reload after the next restart, no more.
    fn put_away(
        self: &Arc<Self>,
        page: &PageRef,
        format: Format,
        (meta, body): (PageMeta, Bytes),
        asked: Asked,
    ) {
        let (this, page) = (Arc::clone(self), page.clone());
        self.behind(async move {
            let route = Route::Page(page.clone());
            if let Err(why) = this
                .parts
                .page_store
                .store(&route, format, meta, body, asked.wall)
                .await
            {
                tracing::warn!(error = %why, %route, "a page cannot be stored");
            }
            // It was taken back while it was put away.
            if page.scope.is_mirror() && this.refusals.overrule(&page, Some(asked.at)) {
                this.withdraw(&page, false).await;
            }
        });
    }

    /// Notes on the disk, behind the answer, that a page was confirmed which is shown from there when upstream fails. Of
    /// GitLab's none is: the rights that it could be shown by end with the process.
    fn confirmed(self: &Arc<Self>, page: &PageRef, confirmed: &Page, asked: Asked) {
        if !page.scope.is_mirror() {
            return;
        }
        let (this, route, format) = (
            Arc::clone(self),
            Route::Page(page.clone()),
            confirmed.source(),
        );
        let validators = confirmed.validators();
        let validators = (
            text(validators.etag.as_ref()),
            text(validators.last_modified.as_ref()),
        );
        self.behind(async move {
            if let Err(why) = this
                .parts
                .page_store
                .confirm(&route, format, validators, asked.wall)
                .await
            {
                tracing::warn!(error = %why, %route, "that a page still stands cannot be noted");
            }
        });
    }

    fn behind(&self, work: impl Future<Output = ()> + Send + 'static) {
        let putting = Arc::clone(&self.putting);
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not put away is asked for again, no more"
        )]
        tokio::spawn(async move {
            work.await;
            drop(putting);
        });
    }

    /// Returns when every page that was answered with is on the page_store.
    pub(super) async fn put_by(&self) {
        while Arc::strong_count(&self.putting) > 1 {
            tokio::time::sleep(PUT_BY_LOOK_EVERY).await;
        }
    }
}

/// When a question was sent, by both clocks: what the disk remembers has to mean something after a restart.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    wall: SystemTime,
}

/// The instant that a time of the wall clock's is; none for one that is yet to come.
fn ago(time: SystemTime, wall: SystemTime, now: Instant) -> Option<Instant> {
    now.checked_sub(wall.duration_since(time).ok()?)
}

fn text(value: Option<&HeaderValue>) -> Option<String> {
    Some(value?.to_str().ok()?.to_owned())
}

fn meta(url: &Url, validators: &Validators) -> PageMeta {
    PageMeta {
        etag: text(validators.etag.as_ref()),
        last_modified: text(validators.last_modified.as_ref()),
        url: url.to_string(),
    }
}
