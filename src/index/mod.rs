//! Index and project pages: asked once, rewritten once, served many times, to those who may.
//!
//! A page is kept as upstream sent it (disk) and as prepared bytes (memory). Who sees which page:
//!
//! ```text
//! view (route, audience) ─▶ variant ─▶ page        audience: everyone of a project; one caller of a group
//! ```
//!
//! because a group's page differs per caller, while callers for whom GitLab gave the same page share its bytes. A view
//! is answered from memory while it is fresh; otherwise the request goes upstream in the caller's name with the stored
//! page's own validator, and is the proof of the caller's right. Must not know files, HTTP statuses or connections.

mod config;
mod error;
mod freshness;
mod links;
mod memory;
mod page;
mod reading;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::access::{Access, Credential, Fingerprint, Permit, Standing, Verdict, verdict};
use crate::cache_status::{CacheStatus, Outcome};
use crate::clock;
use crate::registry::{PageRef, Route, ScopeKind};
use crate::single_flight::{Landed, SingleFlight};
use crate::store::{PageMeta, PageShelf};
use crate::upstream::{self, Ask, Relayed, Upstream, UpstreamError, Validators};

pub use config::IndexConfig;
pub use error::PageError;
use freshness::{Freshness, freshness};
use links::LinkRewriter;
use memory::{Memory, Variant, View, ViewKey};
pub use page::Page;
pub use reading::PageStream;
use reading::{Reading, read};

/// A client's wish for a page.
#[derive(Clone)]
pub struct PageRequest {
    pub credential: Credential,
    pub who: Fingerprint,
    pub page: PageRef,
    /// The client insists on upstream's word (`Cache-Control: no-cache`).
    pub insists: bool,
}

/// What a client gets.
pub enum PageReply {
    Page {
        permit: Permit,
        page: Arc<Page>,
        status: CacheStatus,
        /// Set on a page that is shown although upstream could not confirm it.
        age: Option<Duration>,
    },
    /// Too large to keep: rewritten while it passes.
    Stream(Box<PageStream>),
    /// GitLab's own word to this caller.
    Relayed(Relayed),
}

/// How a load ended; shared by all who waited for it.
#[derive(Clone)]
enum Loaded {
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

pub struct Pages {
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

impl Pages {
    /// `path_prefix` stands before every rewritten link: the path of `public_url`, mostly empty.
    pub fn new(
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

    /// Something was uploaded: no page that was asked for before now counts as fresh.
    ///
    /// All pages, not only the project's: an upload names its project by number or by path, and groups show it too.
    /// A page that did not change costs one small "not modified".
    pub fn changed_upstream(&self, now: Instant) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        *written = Written { at: Some(now), count: written.count + 1 };
    }

    /// Loads under way.
    pub fn loading(&self) -> usize {
        self.loads.len()
    }

    /// Answers a request for a page.
    ///
    /// # Errors
    /// When upstream gave nothing to use and nothing usable is stored for a caller whose right stands.
    pub async fn page(self: &Arc<Self>, request: PageRequest, now: Instant) -> Result<PageReply, PageError> {
        let key = ViewKey::new(request.page.clone(), request.who);
        let written = *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = self.standing(&request, now);
        if let (Standing::Proven(permit), Some(page)) = (standing, self.fresh(&request, &key, now)) {
            return Ok(self.reply(&request, permit, page, CacheStatus::HIT));
        }
        let view = self.memory.view(&key);
        let asker = standing.permit().is_none().then_some(request.who);
        let landed = self.load(&request, &key, asker, written.count).await?;
        let mut settled = self.settle(&request, &key, landed, standing, clock::now());
        // The load that was joined asked in somebody else's name: ask in our own.
        if matches!(settled, Settled::NotOurs) {
            let landed = self.load(&request, &key, Some(request.who), written.count).await?;
            let landed = Landed { joined: false, ..landed };
            settled = self.settle(&request, &key, landed, standing, clock::now());
        }
        // It gave a stream, which has one taker: ask for one of our own.
        if matches!(settled, Settled::Taken) {
            let landed = Landed { value: self.ask(&request, &key).await, joined: false };
            settled = self.settle(&request, &key, landed, standing, clock::now());
        }
        match settled {
            Settled::Reply(reply) => Ok(reply),
            Settled::Failed(why) => self.in_default(&request, view, why),
            Settled::NotOurs | Settled::Taken => Err(PageError::Internal),
        }
    }

    /// The page of before in place of one that upstream failed to give, if it is usable and the caller's right stands.
    fn in_default(
        &self,
        request: &PageRequest,
        view: Option<(View, Arc<Page>)>,
        why: PageError,
    ) -> Result<PageReply, PageError> {
        let now = clock::now();
        let usable =
            view.filter(|(view, _)| freshness(view.asked, now, None, &self.config) != Freshness::Expired);
        match (self.standing(request, now), usable) {
            (Standing::Proven(permit), Some((view, page))) => {
                tracing::warn!(%why, "serving a stored page: upstream failed");
                let age = Some(now.saturating_duration_since(view.asked));
                Ok(PageReply::Page { permit, page, status: CacheStatus::new(Outcome::Stale), age })
            }
            _ => Err(why),
        }
    }

    fn standing(&self, request: &PageRequest, now: Instant) -> Standing {
        self.access.page(request.who, &request.page, now)
    }

    async fn load(
        self: &Arc<Self>,
        request: &PageRequest,
        key: &ViewKey,
        asker: Option<Fingerprint>,
        written: u64,
    ) -> Result<Landed<Loaded>, PageError> {
        let this = Arc::clone(self);
        let (request, view) = (request.clone(), key.clone());
        let work = move || async move {
            // A load that ended between this caller's look and its turn may have left nothing to ask.
            let now = clock::now();
            let proven = this.standing(&request, now).permit().is_some();
            if let Some(page) = this.fresh(&request, &view, now).filter(|_| proven) {
                return Loaded::Fresh(page);
            }
            let loaded = this.ask(&request, &view).await;
            if let Loaded::Page { page, variant, asked, .. } = &loaded {
                this.access.admit_page(request.who, &request.page, page.listings(), *asked);
                this.memory.show(&view, View { variant: *variant, asked: *asked });
            }
            loaded
        };
        self.loads.run((key.clone(), asker, written), work).await.ok_or(PageError::Internal)
    }

    /// The page as this audience sees it, if it may be shown without asking.
    fn fresh(&self, request: &PageRequest, key: &ViewKey, now: Instant) -> Option<Arc<Page>> {
        let written = *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (view, page) = self.memory.view(key).filter(|_| !request.insists)?;
        (freshness(view.asked, now, written.at, &self.config) == Freshness::Fresh).then_some(page)
    }

    /// Draws the conclusions of a load for one caller.
    fn settle(
        &self,
        request: &PageRequest,
        key: &ViewKey,
        landed: Landed<Loaded>,
        before: Standing,
        now: Instant,
    ) -> Settled {
        // Whose word is this? Ours, unless we shared the load of callers whose right stood already.
        let ours = !landed.joined || before.permit().is_none();
        match landed.value {
            Loaded::Page { page, variant, asked, not_modified } => {
                let permit = if ours {
                    self.access.admit_page(request.who, &request.page, page.listings(), asked)
                } else {
                    match self.standing(request, now) {
                        Standing::Proven(permit) => permit,
                        Standing::Unproven => return Settled::NotOurs,
                    }
                };
                self.memory.show(key, View { variant, asked });
                let outcome = match (not_modified, before) {
                    _ if landed.joined => CacheStatus::new(Outcome::Joined),
                    (true, Standing::Proven(_)) => CacheStatus::answered(Outcome::Revalidated, 304),
                    (true, Standing::Unproven) => CacheStatus::answered(Outcome::Asked, 304),
                    (false, _) => CacheStatus::answered(Outcome::Miss, 200),
                };
                Settled::Reply(self.reply(request, permit, page, outcome))
            }
            Loaded::Fresh(page) => match self.standing(request, now) {
                Standing::Proven(permit) => {
                    Settled::Reply(self.reply(request, permit, page, CacheStatus::HIT))
                }
                Standing::Unproven => Settled::NotOurs,
            },
            Loaded::Oversize(stream) => {
                // A shared load's stream belongs to whoever began it, in whose name it was asked for.
                let stream =
                    if ours { stream.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
                stream.map_or(Settled::Taken, |stream| Settled::Reply(PageReply::Stream(stream)))
            }
            Loaded::Forward(_) | Loaded::Refused(_) if !ours => Settled::NotOurs,
            Loaded::Forward(relayed) => {
                self.gone(request, key, before);
                Settled::Reply(PageReply::Relayed(relayed))
            }
            Loaded::Refused(relayed) => {
                match verdict::verdict(relayed.status, false) {
                    Verdict::TurnedAway => self.access.turn_away(request.who, now),
                    Verdict::NotThere => {
                        self.access.forget_page(request.who, &request.page);
                        self.gone(request, key, before);
                    }
                    Verdict::Admitted | Verdict::NoWord => {}
                }
                Settled::Reply(PageReply::Relayed(relayed))
            }
            Loaded::Failed(why) => Settled::Failed(why),
        }
    }

    /// A caller who was let in is told that there is no such page: what was shown of it is over.
    fn gone(&self, request: &PageRequest, key: &ViewKey, before: Standing) {
        if before.permit().is_some() || request.page.scope.kind() == ScopeKind::Group {
            self.memory.hide(key);
        }
    }

    fn reply(
        &self,
        request: &PageRequest,
        permit: Permit,
        page: Arc<Page>,
        status: CacheStatus,
    ) -> PageReply {
        self.access.admit_listed(request.who, &request.page, page.listings(), permit);
        PageReply::Page { permit, page, status, age: None }
    }

    /// One question to upstream, with the validator of the page that this view, or failing that anybody, last had.
    async fn ask(&self, request: &PageRequest, key: &ViewKey) -> Loaded {
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

enum Settled {
    Reply(PageReply),
    Failed(PageError),
    /// Said to somebody else.
    NotOurs,
    /// Given to somebody else.
    Taken,
}
