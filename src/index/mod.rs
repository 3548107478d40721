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
mod load;
mod memory;
mod page;
mod reading;
mod representation;
mod settle;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::access::{Access, Credential, Fingerprint, Permit, Standing};
use crate::cache_status::{CacheStatus, Outcome};
use crate::clock;
use crate::registry::PageRef;
use crate::single_flight::{Landed, SingleFlight};
use crate::store::PageShelf;
use crate::upstream::{Relayed, Upstream};

pub use config::IndexConfig;
pub use error::PageError;
use freshness::{Freshness, Lifetimes, freshness};
use links::LinkRewriter;
use load::{LoadKey, Loaded};
use memory::{Memory, View, ViewKey};
pub use page::Page;
pub use reading::PageStream;
pub use representation::Coding;
use settle::Settled;

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
        let standing = self.standing(&request, now);
        let known = self.memory.view(&key);
        if let (Standing::Proven(permit), Some((view, page)), false) = (standing, &known, request.insists) {
            let freshness = self.freshness(view, now);
            if freshness <= Freshness::Lapsed {
                let in_use = view.used();
                if freshness == Freshness::Lapsed || (freshness == Freshness::Ageing && self.is_hot(in_use)) {
                    self.renew_behind(&request, &key, view.asked, standing);
                }
                let lapsed = freshness == Freshness::Lapsed;
                let status = if lapsed { CacheStatus::new(Outcome::Renewing) } else { CacheStatus::HIT };
                let age = lapsed.then(|| now.saturating_duration_since(view.asked));
                return Ok(self.reply(&request, permit, Arc::clone(page), status, age));
            }
        }
        let seen = known.as_ref().map(|(view, _)| view.asked);
        let asker = standing.permit().is_none().then_some(request.who);
        let landed = self.load(&request, &key, asker, seen).await?;
        let mut settled = self.settle(&request, &key, landed, standing, clock::now());
        // The load that was joined asked in somebody else's name: ask in our own.
        if matches!(settled, Settled::NotOurs) {
            let landed = self.load(&request, &key, Some(request.who), seen).await?;
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
            Settled::Failed(why) => self.in_default(&request, known, &why).ok_or(why),
            Settled::Throttled(relayed) => {
                let before = self.in_default(&request, known, &"GitLab asks for a pause");
                Ok(before.unwrap_or(PageReply::Relayed(relayed)))
            }
            Settled::NotOurs | Settled::Taken => Err(PageError::Internal),
        }
    }

    /// The page of before in place of one that upstream failed to give, if it is usable and the caller's right stands.
    fn in_default(
        &self,
        request: &PageRequest,
        known: Option<(View, Arc<Page>)>,
        why: &dyn std::fmt::Display,
    ) -> Option<PageReply> {
        let now = clock::now();
        let (view, page) = known.filter(|(view, _)| self.freshness(view, now) != Freshness::Expired)?;
        let Standing::Proven(permit) = self.standing(request, now) else { return None };
        tracing::warn!(%why, "serving a stored page: upstream failed");
        let age = Some(now.saturating_duration_since(view.asked));
        Some(self.reply(request, permit, page, CacheStatus::new(Outcome::Stale), age))
    }

    /// Asks for a page again while the one that is known is served: one such question at a time, in this caller's name.
    fn renew_behind(
        self: &Arc<Self>,
        request: &PageRequest,
        key: &ViewKey,
        seen: Instant,
        standing: Standing,
    ) {
        if self.is_loading(key) {
            return;
        }
        let (this, request, key) = (Arc::clone(self), request.clone(), key.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not renewed is asked for by the next caller"
        )]
        tokio::spawn(async move {
            if let Ok(landed) = this.load(&request, &key, None, Some(seen)).await {
                this.settle(&request, &key, landed, standing, clock::now());
            }
        });
    }

    fn standing(&self, request: &PageRequest, now: Instant) -> Standing {
        self.access.page(request.who, &request.page, now)
    }

    fn freshness(&self, view: &View, now: Instant) -> Freshness {
        let lifetimes = Lifetimes {
            fresh_for: self.config.fresh_for.0,
            while_revalidate: self.config.stale_while_revalidate.0,
            if_error: self.config.stale_for.0,
        };
        freshness(view.asked, now, self.written().at, &lifetimes, view.variant.spread())
    }

    /// Whether so many uses since it was last asked for make a page worth renewing before it lapses.
    fn is_hot(&self, uses: u32) -> bool {
        self.config.renew_from_uses > 0 && uses >= self.config.renew_from_uses
    }

    fn written(&self) -> Written {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
