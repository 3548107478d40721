//! A page that an operator wants asked for again, whatever its age.
//!
//! Owns the comparison of what was there with what came. Must not know which client asks.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use super::Pages;
use crate::access::Caller;
use crate::index::cache::memory::CacheKey;
use crate::index::cache::page::Page;
use crate::index::changes::{changes, files_of};
use crate::index::error::PageError;
use crate::index::request::{PageReply, PageRequest};
use crate::registry::PageRef;
use crate::simple::{FileChange, Format};
use crate::upstream::UpstreamError;
use crate::values::correlation;

/// What fetching a page again came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshedPage {
    /// A project's page with so many files.
    Project {
        files: u64,
        /// By the file's name; none if there was nothing to compare it with.
        changes: Option<Vec<(String, FileChange)>>,
    },
    /// The list of an index's projects, whose files are not compared; none if there was nothing to
    /// compare it with.
    Listing { is_same: Option<bool> },
    /// Larger than what is kept: it is fetched each time anyway.
    TooLarge,
    /// Upstream's own answer.
    Refused(StatusCode),
    /// Upstream did not answer: what was stored stays, and is served as long as it may.
    Unanswered,
}

impl Pages {
    /// Sees to it that a page is asked for before it is shown again to any caller. What is there
    /// may still be shown when upstream fails.
    ///
    /// # Errors
    /// Offline, where no upstream can be asked.
    pub fn invalidate(&self, page: &PageRef, now: Instant) -> Result<(), PageError> {
        if self.offline.is_some() {
            return Err(UpstreamError::Offline.into());
        }
        self.fetcher.invalidate(page, now);
        self.forwards.clear();
        self.absences.clear();
        self.fetcher.large.clear();
        Ok(())
    }

    /// Fetches a page again in this caller's name, and tells what is different, file by file.
    ///
    /// # Errors
    /// When upstream gave nothing to use; what was there before stays.
    pub async fn refresh(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<RefreshedPage, PageError> {
        let before = self.last_known(&request.page, &request.caller).await;
        // For the format that is not asked for now, and for the other callers of a group's page.
        self.invalidate(&request.page, now)?;
        let request = PageRequest {
            insists: true,
            format: Format::Json,
            ..request.clone()
        };
        let after = match self.page(&request, now).await? {
            PageReply::Page {
                page, age: None, ..
            } => page,
            PageReply::Page { age: Some(_), .. } => return Ok(RefreshedPage::Unanswered),
            PageReply::Stream(_) => return Ok(RefreshedPage::TooLarge),
            PageReply::PassThrough(answer) => return Ok(RefreshedPage::Refused(answer.status)),
        };
        let Some(project) = request.page.name.clone() else {
            let is_same = before.as_ref().map(|before| Arc::ptr_eq(before, &after));
            return Ok(RefreshedPage::Listing { is_same });
        };
        let compare = move || -> Result<RefreshedPage, PageError> {
            let after = files_of(&after, &project)?;
            let changes = match before {
                Some(before) => Some(changes(&files_of(&before, &project)?, &after)),
                None => None,
            };
            Ok(RefreshedPage::Project {
                files: after.len() as u64,
                changes,
            })
        };
        let compared = correlation::spawn_blocking(compare);
        compared.await.map_err(|_| PageError::Internal)?
    }

    /// The page as it was last shown to this caller, or to any caller, or lies on the disk.
    pub(super) async fn last_known(&self, page: &PageRef, caller: &Caller) -> Option<Arc<Page>> {
        let key = CacheKey::new(page.clone(), Format::Json, caller);
        if let Some(latest) = self.fetcher.memory.latest(&key) {
            return Some(latest.page);
        }
        self.fetcher.recall(&key).await.map(|latest| latest.page)
    }
}
