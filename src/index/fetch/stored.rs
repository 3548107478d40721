//! The way of a page between disk and memory.
//!
//! Pages are written behind the answer: a disk that fails costs a fetch after the next restart, no
//! more. Must not ask upstream.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use url::Url;

use super::changed_files::UpstreamPage;
use super::{AskedAt, Fetcher};
use crate::index::cache::memory::{BodyId, CacheKey, Latest};
use crate::index::cache::page::{Page, RewrittenPage};
use crate::index::error::PageError;
use crate::index::rewrite::{RewriteJob, Rewriting};
use crate::registry::{PageRef, Route};
use crate::simple::Format;
use crate::store::{PageDates, PageMeta, PageNews};
use crate::upstream::Validators;
use crate::values::clock;
use crate::values::correlation;

/// How often a flush looks whether all pages are written.
const FLUSH_LOOK_EVERY: Duration = Duration::from_millis(5);

impl Fetcher {
    /// The page that an earlier process stored, in the format that would be asked for or else in
    /// the other, prepared anew, and as old as it is.
    pub async fn recall(&self, key: &CacheKey) -> Option<Latest> {
        let route = Route::Page(key.page().clone());
        let shelf = &self.dependencies.page_store;
        let first = self.sources.asked_format(&key.page().scope, key.format());
        let second = match first {
            Format::Json => Format::Html,
            Format::Html => Format::Json,
        };
        for source in [first, second] {
            // Before the page: of one that is replaced meanwhile the older time counts.
            let confirmed = shelf.last_confirmed(&route, source).await.ok().flatten();
            let (meta, body) = match shelf.load(&route, source).await {
                Ok(Some(stored)) => stored,
                Ok(None) => continue,
                Err(why) => {
                    tracing::warn!(error = %why, %route, "a stored page cannot be read");
                    continue;
                }
            };
            match self.stored(key, source, &meta, &body).await {
                Ok(page) => {
                    let asked = confirmed.and_then(instant_of);
                    let body = self.memory.keep(key, &body, &page, asked);
                    return Some(Latest { body, asked, page });
                }
                Err(why) => {
                    tracing::warn!(error = %why, %route, "a stored page is not usable any more")
                }
            }
        }
        None
    }

    /// What is known of the files of a page besides.
    pub async fn dates_of(&self, page: &PageRef) -> Arc<PageDates> {
        if page.scope.is_mirror() && !self.sources.policies().counts_first_seen(&page.scope) {
            return Arc::default();
        }
        self.dependencies.dates.of(page).await
    }

    /// The page of this body, made again of what is stored of it if it is due. Upstream is not
    /// asked, and the page becomes no younger.
    pub async fn up_to_date(
        self: &Arc<Self>,
        key: &CacheKey,
        body: BodyId,
        page: Arc<Page>,
    ) -> Arc<Page> {
        if !self.is_due_again(key, &page) {
            return page;
        }
        let this = Arc::clone(self);
        let of = key.clone();
        let source = page.source();
        let remade = move || async move { this.remade(&of, body, source).await };
        match self.remakes.run(body, remade).await {
            Some(shared) => shared.value.unwrap_or(page),
            None => page,
        }
    }

    /// The page of this body; none if another one is stored, as of a group for another caller.
    async fn remade(&self, key: &CacheKey, body: BodyId, source: Format) -> Option<Arc<Page>> {
        let route = Route::Page(key.page().clone());
        let stored = self.dependencies.page_store.load(&route, source).await;
        let (meta, bytes) = stored.ok()??;
        if BodyId::of(key, &bytes) != body {
            return None;
        }
        let page = self.stored(key, source, &meta, &bytes).await.ok()?;
        self.memory.replace(body, &page);
        Some(page)
    }

    async fn stored(
        &self,
        key: &CacheKey,
        source: Format,
        meta: &PageMeta,
        body: &Bytes,
    ) -> Result<Arc<Page>, PageError> {
        let page = key.page().clone();
        let url = Url::parse(&meta.url).map_err(|_| PageError::Internal)?;
        let links = self.sources.links_of(&page.scope, &meta.url);
        let job = RewriteJob {
            page,
            source,
            target: key.format(),
            url,
            links: links.ok_or(PageError::Internal)?,
            dates: self.dates_of(key.page()).await,
        };
        let validators = Validators::of_text(meta.etag.as_deref(), meta.last_modified.as_deref());
        self.prepare_stored(job, validators, body.clone()).await
    }

    /// Prepares a page that lies here whole.
    pub async fn prepare_stored(
        &self,
        job: RewriteJob,
        validators: Validators,
        body: Bytes,
    ) -> Result<Arc<Page>, PageError> {
        let again = job.clone();
        let address = job.page.clone();
        let whole = body.clone();
        let rewrite = move || Rewriting::whole(&job, &body, &validators);
        let rewritten = correlation::spawn_blocking(rewrite).await;
        let rewritten = rewritten.map_err(|_| PageError::Internal)??;
        let rewritten = self.with_file_hosts(rewritten, again, whole);
        self.prepare(&address, rewritten.await?).await
    }

    pub(super) async fn prepare(
        &self,
        address: &PageRef,
        mut rewritten: RewrittenPage,
    ) -> Result<Arc<Page>, PageError> {
        for (reason, files) in &rewritten.collected.refused {
            tracing::info!(page = %address.path(), files, reason, "files are left out of a page by policy");
            self.dependencies.policy_counts.leave_out(reason, *files);
        }
        let collected = &mut rewritten.collected;
        let news = PageNews {
            dated: std::mem::take(&mut collected.newly_dated),
            seen: std::mem::take(&mut collected.newly_seen),
        };
        let written = collected.written.clone();
        let dates = &self.dependencies.dates;
        dates.keep_by_file(address, written.as_ref(), news).await;
        let metadata_index = Arc::clone(&self.dependencies.metadata_index);
        let prefetch = self.dependencies.prefetch;
        let prepare = move || Page::prepare(rewritten, &metadata_index, prefetch, clock::now());
        let page = correlation::spawn_blocking(prepare).await;
        Ok(Arc::new(page.map_err(|_| PageError::Internal)??))
    }

    pub(super) async fn withdraw(&self, page: &PageRef, known: bool) {
        let route = Route::Page(page.clone());
        match self.dependencies.page_store.withdraw(&route, known).await {
            Ok(true) => {
                tracing::info!(%route, "upstream took a page back: what was stored of it is over")
            }
            Ok(false) => {}
            Err(why) => {
                tracing::error!(error = %why, %route, "a page that upstream took back cannot be taken off the disk");
            }
        }
    }

    /// `is_known`: there may be one that it replaces.
    pub(super) fn store_behind(
        self: &Arc<Self>,
        page: &PageRef,
        format: Format,
        came: UpstreamPage,
        asked: AskedAt,
        is_known: bool,
    ) {
        let this = Arc::clone(self);
        let page = page.clone();
        self.behind(async move {
            let route = Route::Page(page.clone());
            let shelf = &this.dependencies.page_store;
            let mut before = None;
            if is_known {
                before = this.replaced_page(&page, format, &came).await;
            }
            let (meta, body) = came.clone();
            if let Err(why) = shelf.store(&route, format, meta, body, asked.wall).await {
                tracing::warn!(error = %why, %route, "a page cannot be stored");
            }
            // It was taken back while it was written.
            if page.scope.is_mirror() && this.refusals.overrule(&page, Some(asked.at)) {
                this.withdraw(&page, false).await;
            }
            if let Some(before) = before {
                this.say_changed_files(&page, format, before, came).await;
            }
        });
    }

    /// Notes on the disk that a page was confirmed which is shown from there when upstream fails.
    /// Of GitLab's none is: the rights that it could be shown by end with the process.
    pub(super) fn confirm_behind(
        self: &Arc<Self>,
        page: &PageRef,
        confirmed: &Page,
        asked: AskedAt,
    ) {
        if !page.scope.is_mirror() {
            return;
        }
        let this = Arc::clone(self);
        let route = Route::Page(page.clone());
        let format = confirmed.source();
        let validators = confirmed.validators().to_text();
        self.behind(async move {
            let shelf = &this.dependencies.page_store;
            if let Err(why) = shelf.confirm(&route, format, validators, asked.wall).await {
                tracing::warn!(error = %why, %route, "that a page still stands cannot be noted");
            }
        });
    }

    fn behind(&self, work: impl Future<Output = ()> + Send + 'static) {
        let writing = Arc::clone(&self.writing);
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not stored is asked for again, no more"
        )]
        tokio::spawn(correlation::carried(async move {
            work.await;
            drop(writing);
        }));
    }

    /// Returns when every page that was answered with is on the disk.
    pub async fn flush(&self) {
        while Arc::strong_count(&self.writing) > 1 {
            tokio::time::sleep(FLUSH_LOOK_EVERY).await;
        }
    }
}

/// The instant that a time of the wall clock's is; none for one that is yet to come.
fn instant_of(time: SystemTime) -> Option<Instant> {
    let ago = clock::wall().duration_since(time).ok()?;
    clock::now().checked_sub(ago)
}
