//! One question to upstream about a page, shared by all who wait for the answer.
//!
//! Owns the single flight, the validator that is asked with, and the way of a page between disk and memory. Must not
//! conclude anything for a caller from an answer that another caller was given; that is `settle`'s.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::error::PageError;
use super::freshness::Freshness;
use super::memory::{Variant, View, ViewKey};
use super::page::Page;
use super::reading::{PageStream, Reading, read};
use super::{PageRequest, Pages};
use crate::access::Fingerprint;
use crate::clock;
use crate::registry::{PageRef, Route};
use crate::single_flight::Landed;
use crate::store::PageMeta;
use crate::upstream::{self, Ask, Relayed, UpstreamError, Validators};

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
pub(super) type LoadKey = (ViewKey, Option<Fingerprint>, u64);

impl Pages {
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
