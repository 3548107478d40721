//! What a page that came says of its project as a whole (PEP 792), against what was known of it.
//!
//! Owns what follows from a change: it is said once, counted, and where a quarantine begins or ends
//! the page is asked for again in its other format, so that no client goes by the older word. Must
//! not judge files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Fetcher;
use crate::index::cache::memory::CacheKey;
use crate::index::cache::page::Page;
use crate::registry::{PageRef, Route};
use crate::simple::{Format, ProjectStatus};
use crate::values::correlation;

impl Fetcher {
    /// `before` is the page that was known when this one was asked for.
    pub(super) async fn note_status(
        &self,
        key: &CacheKey,
        before: Option<&Page>,
        page: &Page,
        asked: Instant,
    ) {
        let address = key.page();
        if address.name.is_none() {
            return;
        }
        let status = page.status();
        self.dependencies.page_counts.page(status);
        self.note_quarantine(address, page).await;
        let was = before.and_then(Page::status);
        if is_quarantined(was) != is_quarantined(status)
            && let Some(just_before) = asked.checked_sub(Duration::from_nanos(1))
        {
            self.invalidate(address, just_before);
        }
        if is_quarantined(status) && !is_quarantined(was) {
            self.end_other_format(key, page.source()).await;
        }
        if before.is_some() && was.map(|was| &was.status) != status.map(|now| &now.status) {
            self.say_status(address, was, status);
        }
    }

    /// What the page said in its other format is over: it is not to stand in when upstream fails.
    async fn end_other_format(&self, key: &CacheKey, came: Format) {
        self.memory.end(key);
        let other = match came {
            Format::Json => Format::Html,
            Format::Html => Format::Json,
        };
        let shelf = self.dependencies.page_store.clone();
        let route = Route::Page(key.page().clone());
        let end = move || shelf.end(&route, other);
        match correlation::spawn_blocking(end).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                tracing::warn!(error = %why, page = %key.page().path(), "the page of a quarantined project stays on the disk in its other format")
            }
            Err(_) => tracing::error!("the other format of a page was not forgotten"),
        }
    }

    /// Said by the first page that has it, in whichever format.
    fn say_status(
        &self,
        address: &PageRef,
        was: Option<&ProjectStatus>,
        status: Option<&ProjectStatus>,
    ) {
        if !self.dependencies.page_counts.change_status(address, status) {
            return;
        }
        let from = ProjectStatus::word_line(was);
        let to = ProjectStatus::word_line(status);
        let page = address.path();
        let stated = status.and_then(ProjectStatus::reason_line);
        let reason = stated.as_deref().unwrap_or_default();
        if is_quarantined(status) {
            tracing::warn!(
                page,
                from,
                to,
                reason,
                "an index has quarantined a project: no file of it is given"
            );
        } else {
            tracing::info!(
                page,
                from,
                to,
                reason,
                "an index has changed the status of a project"
            );
        }
    }

    /// A file of GitLab's has an address that no page need be asked for: what its page says is noted
    /// where it is judged by, under the scope of the page and under that which its links write.
    async fn note_quarantine(&self, address: &PageRef, page: &Page) {
        if address.scope.is_mirror() {
            return;
        }
        let mut pages = vec![address.clone()];
        if let Some(scope) = page.written() {
            pages.push(PageRef {
                scope: scope.clone(),
                name: address.name.clone(),
            });
        }
        let learned = Arc::clone(&self.dependencies.learned);
        let status = page.status().cloned();
        pages.retain(|page| learned.quarantine(page).is_some() || is_quarantined(status.as_ref()));
        if pages.is_empty() {
            return;
        }
        let note = move || {
            for page in &pages {
                if let Err(why) = learned.note_status(page, status.as_ref()) {
                    tracing::warn!(error = %why, page = %page.path(), "what a page says of its project cannot be noted");
                }
            }
        };
        if correlation::spawn_blocking(note).await.is_err() {
            tracing::error!("what a page says of its project was not noted");
        }
    }
}

fn is_quarantined(status: Option<&ProjectStatus>) -> bool {
    match status {
        Some(status) => status.is_quarantined(),
        None => false,
    }
}
