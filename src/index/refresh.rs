//! A page that an operator wants asked for again, whatever its age.
//!
//! Owns the comparison of what was there with what came. Must not know who gave the order.

use std::sync::Arc;
use std::time::Instant;

use super::Pages;
use crate::access::Caller;
use crate::control::{FileChange, PageRefresh};
use crate::index::cache::memory::CacheKey;
use crate::index::cache::page::Page;
use crate::index::changes::{changes, files_of};
use crate::index::error::PageError;
use crate::index::request::{PageReply, PageRequest};
use crate::registry::PageRef;
use crate::simple::Format;
use crate::upstream::UpstreamError;

impl Pages {
    /// Sees to it that a page is asked for before it is shown again to any caller. What is there may still be shown when
    /// upstream fails.
    ///
    /// # Errors
    /// Offline, where no upstream can be asked.
    pub fn invalidate(&self, page: &PageRef, now: Instant) -> Result<(), PageError> {
        if self.offline.is_some() {
            return Err(UpstreamError::Offline.into());
        }
        self.fetcher.invalidate(page, now);
        self.forwards.clear();
        self.fetcher.large.clear();
        Ok(())
    }

    /// Asks for a page in this caller's name, and says what is different, file by file.
    pub async fn refresh(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> (Vec<(String, FileChange)>, PageRefresh) {
        match self.renew(request, now).await {
            Ok(renewed) => renewed,
            Err(why) => (
                Vec::new(),
                PageRefresh::Failed {
                    why: why.to_string(),
                },
            ),
        }
    }

    async fn renew(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<(Vec<(String, FileChange)>, PageRefresh), PageError> {
        let before = self.last_known(&request.page, &request.caller).await;
        // For the format that is not asked for now, and for the other callers of a group's page.
        self.invalidate(&request.page, now)?;
        let request = PageRequest {
            insists: true,
            format: Format::Json,
            ..request.clone()
        };
        let nothing = |end| Ok((Vec::new(), end));
        let after = match self.page(&request, now).await? {
            PageReply::Page {
                page, age: None, ..
            } => page,
            PageReply::Page { age: Some(_), .. } => {
                let why = "upstream did not answer; what was stored stays, and is shown as long as it may";
                return nothing(PageRefresh::Failed {
                    why: why.to_owned(),
                });
            }
            PageReply::Stream(_) => return nothing(PageRefresh::TooLarge),
            PageReply::PassThrough(word) => {
                return nothing(PageRefresh::Refused {
                    status: word.status.as_u16(),
                });
            }
        };
        let Some(project) = request.page.name.clone() else {
            return nothing(match before {
                Some(before) if Arc::ptr_eq(&before, &after) => PageRefresh::Unchanged { files: 0 },
                Some(_) => PageRefresh::Changed { files: 0 },
                None => PageRefresh::New { files: 0 },
            });
        };
        let compare = move || {
            let after = files_of(&after, &project)?;
            let files = after.len() as u64;
            Ok::<_, PageError>(
                match before
                    .map(|before| files_of(&before, &project))
                    .transpose()?
                {
                    None => (Vec::new(), PageRefresh::New { files }),
                    Some(before) => match changes(&before, &after) {
                        none if none.is_empty() => (none, PageRefresh::Unchanged { files }),
                        some => (some, PageRefresh::Changed { files }),
                    },
                },
            )
        };
        tokio::task::spawn_blocking(compare)
            .await
            .map_err(|_| PageError::Internal)?
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
