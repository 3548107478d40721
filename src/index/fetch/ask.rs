//! The question itself: asked with the validator of the page that is known, and what the answer
//! ends or leaves here.
//!
//! Must not know whether other requests wait for the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use url::Url;

use super::body::{PageBody, read};
use super::{AskedAt, Fetched, Fetcher};
use crate::index::cache::freshness::{UpstreamVerdict, Use};
use crate::index::cache::memory::{CacheKey, Latest};
use crate::index::cache::page::Page;
use crate::index::error::PageError;
use crate::index::request::PageRequest;
use crate::index::rewrite::RewriteJob;
use crate::registry::{FileRef, PageRef, Route, Scope};
use crate::store::PageMeta;
use crate::upstream::{
    PageAnswer, PassThrough, Peer, UpstreamError, UpstreamRequest, UpstreamResponse, Validators,
};
use crate::values::clock;

/// So long after an upload at least GitLab's pages are asked for past the parents' own lifetimes,
/// which are not known here.
const INSISTS_FOR_MIN: Duration = Duration::from_secs(300);

impl Fetcher {
    /// One question to upstream, with the validator of the page that this entry, or failing that
    /// any caller, last had.
    pub async fn ask(self: &Arc<Self>, request: &PageRequest, key: &CacheKey) -> Fetched {
        let mut from = None;
        let mut answered = self.answered(request, key, &mut from).await;
        // Of a page that is not kept whole nothing was shown yet: another parent is asked for it.
        if matches!(answered, Err(PageError::Broken(_))) && self.has_stand_ins(key.page()) {
            answered = self.answered(request, key, &mut from).await;
        }
        match answered {
            Ok(fetched) => fetched,
            Err(why) => Fetched::Failed(why),
        }
    }

    fn has_stand_ins(&self, page: &PageRef) -> bool {
        self.dependencies.upstream.peers_of(&page.scope) > 1
    }

    /// `from` is the parent whose page broke off before, and then the one whose page this is.
    async fn answered(
        self: &Arc<Self>,
        request: &PageRequest,
        key: &CacheKey,
        from: &mut Option<Peer>,
    ) -> Result<Fetched, PageError> {
        let address = key.page();
        let known = match self.memory.latest(key) {
            Some(known) => Some(known),
            None => self.recall(key).await,
        };
        let route = Route::Page(address.clone());
        let ask = UpstreamRequest {
            validators: self.validators(key, known.as_ref()),
            accept: self.sources.asked_format(&address.scope, key.format()),
            broke_off: from.take(),
            insists: self.has_stand_ins(address) && self.is_uploaded_since(address, known.as_ref()),
            ahead: request.ahead,
            ..UpstreamRequest::by(&route, &request.caller)
        };
        // Waiting for a turn is bounded: each fetch before has its own time-outs.
        let _slot = self.slots.acquire().await;
        let asked = AskedAt {
            at: clock::now(),
            wall: clock::wall(),
        };
        let answer = match self.dependencies.upstream.page(&ask).await {
            Ok(answer) => answer,
            Err(why) => {
                if why.is_refusal_of_what_was_asked() {
                    self.end(key, None, asked.at).await;
                }
                return Err(why.into());
            }
        };
        if has_no_package(&answer) {
            let written = known.as_ref().and_then(|known| known.page.written());
            self.keep_dates_of(address, written, &[]).await;
        }
        match answer {
            PageAnswer::Page { answer, url } => {
                from.clone_from(&answer.parent);
                let asked = asked.before(answer.stale_age());
                let before = known.map(|known| known.page);
                self.take_in(key, answer, url, asked, before).await
            }
            PageAnswer::NotModified { age } => self.confirmed(address, known, asked.before(age)),
            PageAnswer::Forward { pass_through, to } => Ok(Fetched::Forward {
                answer: pass_through,
                to: Box::new(to),
            }),
            PageAnswer::Refused(answer) => {
                let verdict = UpstreamVerdict::of_refusal(answer.status);
                if self.decide_as_of(address, None, 0.0, verdict, asked.at) == Use::End {
                    self.end(key, Some(answer.clone()), asked.at).await;
                }
                Ok(Fetched::Refused(answer))
            }
        }
    }

    /// A page that lacks a file which has become old enough since, or a date, is made anew, unchanged
    /// or not.
    fn validators(&self, key: &CacheKey, known: Option<&Latest>) -> Validators {
        match known {
            Some(known) if !self.is_due_again(key, &known.page) => known.page.validators().clone(),
            Some(_) | None => Validators::default(),
        }
    }

    /// Whether something was uploaded through this larder since upstream last confirmed what is
    /// known of a page. The upload went through one parent, and the others do not know of it.
    fn is_uploaded_since(&self, page: &PageRef, known: Option<&Latest>) -> bool {
        let asked = known.and_then(|known| known.asked);
        match self.changes().read().uploaded {
            Some(uploaded) if !page.scope.is_mirror() => {
                may_be_overtaken(uploaded, asked, self.config.ttl.0, clock::now())
            }
            _ => false,
        }
    }

    fn confirmed(
        self: &Arc<Self>,
        address: &PageRef,
        known: Option<Latest>,
        asked: AskedAt,
    ) -> Result<Fetched, PageError> {
        let Some(Latest { body, page, .. }) = known else {
            // A 304 answers only a validator, and there was none: upstream is broken.
            let why = UpstreamError::Unusable("upstream answered 304 to a plain request");
            return Err(why.into());
        };
        self.confirm_behind(address, &page, asked);
        Ok(Fetched::Page {
            page,
            body,
            asked: asked.at,
            not_modified: true,
        })
    }

    /// Reads a page that came, and keeps it if it is not too large.
    async fn take_in(
        self: &Arc<Self>,
        key: &CacheKey,
        answer: UpstreamResponse,
        url: Url,
        asked: AskedAt,
        before: Option<Arc<Page>>,
    ) -> Result<Fetched, PageError> {
        let address = key.page();
        let links = self.sources.links(&address.scope);
        let job = RewriteJob {
            page: address.clone(),
            source: key.format(),
            target: key.format(),
            url: url.clone(),
            links: links.ok_or(PageError::Internal)?.clone(),
            dates: self.dates_of(address).await,
        };
        let page_size = self.config.page_size.bytes();
        let (mut rewritten, upstream_body) = match read(answer, job.clone(), page_size).await? {
            PageBody::Whole(rewritten, upstream_body) => (rewritten, upstream_body),
            PageBody::TooLarge(stream) => {
                // For the next time: the links of this one are written already.
                self.take_hosts(&address.scope, &stream.new_hosts()).await;
                self.refusals.lift(address, asked.at);
                return Ok(Fetched::TooLarge(Arc::new(Mutex::new(Some(stream)))));
            }
        };
        let meta = meta_of(&rewritten.validators, &url);
        let source = rewritten.source;
        let listed = rewritten.collected.all_of_gitlab();
        let written = rewritten.collected.written.as_ref();
        let forgotten = self.keep_dates_of(address, written, &listed).await;
        let seen = std::mem::take(&mut rewritten.collected.seen);
        self.dependencies.dates.bound_seen(address, seen).await;
        // Of those that are gone the page shows none: whatever else is learned makes it anew.
        rewritten.dates_known = rewritten.dates_known.wrapping_sub(forgotten);
        let job = RewriteJob {
            source,
            dates: self.dates_of(address).await,
            ..job
        };
        let rewritten = self.with_file_hosts(*rewritten, job, upstream_body.clone());
        let page = self.prepare(address, rewritten.await?).await?;
        self.refusals.lift(address, asked.at);
        self.note_in_place(address, &page, asked.at);
        self.note_status(key, before.as_deref(), &page, asked.at)
            .await;
        let body = self.memory.keep(key, &upstream_body, &page, Some(asked.at));
        let is_known = before.is_some();
        self.store_behind(address, source, (meta, upstream_body), asked, is_known);
        Ok(Fetched::Page {
            page,
            body,
            asked: asked.at,
            not_modified: false,
        })
    }

    /// GitLab has just said which files a page lists: forgets the dates of others, also of the page of
    /// the scope that its links write. Gives the mark of those of its own.
    async fn keep_dates_of(
        &self,
        address: &PageRef,
        written: Option<&Scope>,
        listed: &[FileRef],
    ) -> u64 {
        let dates = &self.dependencies.dates;
        let forgotten = dates.keep_listed(address, listed).await;
        if let Some(scope) = written
            && *scope != address.scope
        {
            let by_file = PageRef {
                scope: scope.clone(),
                name: address.name.clone(),
            };
            dates.keep_listed(&by_file, listed).await;
        }
        forgotten
    }

    /// Remembers what a parent's page lists of the index that it gives in GitLab's place: there is
    /// no other page to find its files by.
    fn note_in_place(&self, address: &PageRef, page: &Page, asked: Instant) {
        let files = page.mirror_files();
        if let Some(scope) = self.sources.parents_public_index()
            && !address.scope.is_mirror()
        {
            let listed = PageRef {
                scope: scope.clone(),
                name: address.name.clone(),
            };
            if !files.is_empty() || self.large.recall(&listed).is_some() {
                self.large.remember(listed, Arc::clone(files), asked);
            }
        }
    }

    /// A mirror took a page back, or never had it: nothing of it is left, here or on the disk,
    /// before a client is told.
    async fn end(&self, key: &CacheKey, answer: Option<PassThrough>, asked: Instant) {
        let page = key.page();
        // First, so that nothing that is under way puts it up again.
        self.refusals.note(page, answer, asked);
        self.memory.end(key);
        self.withdraw(page, self.large.take(page)).await;
    }
}

/// What is kept with the body of a page.
fn meta_of(validators: &Validators, url: &Url) -> PageMeta {
    let (etag, last_modified) = validators.to_text();
    PageMeta {
        etag,
        last_modified,
        url: url.to_string(),
    }
}

/// Whether GitLab says that there is no such package, to a caller that may see the project: such a
/// one alone is sent on, and another is told that there is no such project.
fn has_no_package(answer: &PageAnswer) -> bool {
    match answer {
        PageAnswer::Forward { .. } => true,
        PageAnswer::Refused(refusal) => refusal.says_no_package(),
        PageAnswer::Page { .. } | PageAnswer::NotModified { .. } => false,
    }
}

/// Whether a parent may still give a page from before an upload: a few lifetimes later its own are
/// over.
fn may_be_overtaken(
    uploaded: Instant,
    asked: Option<Instant>,
    ttl: Duration,
    now: Instant,
) -> bool {
    let lasts = ttl.saturating_mul(4).max(INSISTS_FOR_MIN);
    now.saturating_duration_since(uploaded) <= lasts && asked.is_none_or(|asked| asked <= uploaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_insisted_on_for_a_few_lifetimes() {
        let uploaded = crate::values::clock::now();
        let ttl = Duration::from_secs(100);
        let after = |seconds| uploaded + Duration::from_secs(seconds);
        assert!(may_be_overtaken(uploaded, None, ttl, after(400)));
        assert!(may_be_overtaken(uploaded, Some(uploaded), ttl, after(400)));
        assert!(
            !may_be_overtaken(uploaded, None, ttl, after(401)),
            "it lapses"
        );
        assert!(!may_be_overtaken(uploaded, Some(after(1)), ttl, after(2)));
        assert!(may_be_overtaken(uploaded, None, Duration::ZERO, after(300)));
        assert!(!may_be_overtaken(
            uploaded,
            None,
            Duration::ZERO,
            after(301)
        ));
        assert!(may_be_overtaken(uploaded, None, Duration::MAX, after(900)));
    }
}
