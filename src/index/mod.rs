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
mod loader;
mod memory;
mod page;
mod reading;
mod representation;
mod request;
mod settle;

use std::sync::Arc;
use std::time::Instant;

use crate::access::{Access, Standing};
use crate::cache_status::{CacheStatus, Outcome};
use crate::clock;
use crate::single_flight::Landed;
use crate::store::PageShelf;
use crate::upstream::Upstream;

pub use config::IndexConfig;
pub use error::PageError;
use freshness::Freshness;
use loader::Loader;
use memory::{View, ViewKey};
pub use page::Page;
pub use reading::PageStream;
pub use representation::Coding;
pub use request::{PageReply, PageRequest};
use settle::{Settled, reply, settle};

pub struct Pages {
    loader: Arc<Loader>,
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
        Arc::new(Self { loader: Loader::new(config, upstream, access, shelf, path_prefix) })
    }

    /// Something was uploaded: no page that was asked for before now counts as fresh.
    ///
    /// All pages, not only the project's: an upload names its project by number or by path, and groups show it too.
    /// A page that did not change costs one small "not modified".
    pub fn changed_upstream(&self, now: Instant) {
        self.loader.changed_upstream(now);
    }

    /// Loads under way.
    pub fn loading(&self) -> usize {
        self.loader.loading()
    }

    /// Answers a request for a page.
    ///
    /// # Errors
    /// When upstream gave nothing to use and nothing usable is stored for a caller whose right stands.
    pub async fn page(&self, request: PageRequest, now: Instant) -> Result<PageReply, PageError> {
        let key = ViewKey::new(request.page.clone(), request.who);
        let standing = self.loader.standing(&request, now);
        let known = self.loader.memory().view(&key);
        if let (Standing::Proven(permit), Some((view, page)), false) = (standing, &known, request.insists) {
            let freshness = self.loader.freshness(view, now);
            if freshness <= Freshness::Lapsed {
                let in_use = view.used();
                if freshness == Freshness::Lapsed
                    || (freshness == Freshness::Ageing && self.loader.is_hot(in_use))
                {
                    self.renew_behind(&request, &key, view.asked, standing);
                }
                let lapsed = freshness == Freshness::Lapsed;
                let status = if lapsed { CacheStatus::new(Outcome::Renewing) } else { CacheStatus::HIT };
                let age = lapsed.then(|| now.saturating_duration_since(view.asked));
                return Ok(reply(&self.loader, &request, permit, Arc::clone(page), status, age));
            }
        }
        let seen = known.as_ref().map(|(view, _)| view.asked);
        let asker = standing.permit().is_none().then_some(request.who);
        let landed = self.loader.load(&request, &key, asker, seen).await?;
        let mut settled = settle(&self.loader, &request, &key, landed, standing, clock::now());
        // The load that was joined asked in somebody else's name: ask in our own.
        if matches!(settled, Settled::NotOurs) {
            let landed = self.loader.load(&request, &key, Some(request.who), seen).await?;
            let landed = Landed { joined: false, ..landed };
            settled = settle(&self.loader, &request, &key, landed, standing, clock::now());
        }
        // It gave a stream, which has one taker: ask for one of our own.
        if matches!(settled, Settled::Taken) {
            let landed = Landed { value: self.loader.ask(&request, &key).await, joined: false };
            settled = settle(&self.loader, &request, &key, landed, standing, clock::now());
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
        let (view, page) =
            known.filter(|(view, _)| self.loader.freshness(view, now) != Freshness::Expired)?;
        let Standing::Proven(permit) = self.loader.standing(request, now) else { return None };
        tracing::warn!(%why, "serving a stored page: upstream failed");
        let age = Some(now.saturating_duration_since(view.asked));
        Some(reply(&self.loader, request, permit, page, CacheStatus::new(Outcome::Stale), age))
    }

    /// Asks for a page again while the one that is known is served: one such question at a time, in this caller's name.
    fn renew_behind(&self, request: &PageRequest, key: &ViewKey, seen: Instant, standing: Standing) {
        if self.loader.is_loading(key) {
            return;
        }
        let (loader, request, key) = (Arc::clone(&self.loader), request.clone(), key.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not renewed is asked for by the next caller"
        )]
        tokio::spawn(async move {
            if let Ok(landed) = loader.load(&request, &key, None, Some(seen)).await {
                settle(&loader, &request, &key, landed, standing, clock::now());
            }
        });
    }
}
