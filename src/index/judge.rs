//! Whether policies let a file of GitLab's be had, and the dates that they wait for.
//!
//! GitLab's addresses of files say nothing of a file's age: what is known of it is known by the page
//! of its project. Must not settle the caller's right: a refusal is told to callers that may see the
//! file.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Pages;
use super::cache::memory::CacheKey;
use super::cache::page::Page;
use super::request::{PageReply, PageRequest};
use crate::access::Caller;
use crate::registry::policy::{JudgedFile, PolicyRefusal};
use crate::registry::{FileRef, KnownBad, PageRef};
use crate::simple::{Format, ProjectName, ProjectStatus, project_candidates, usual_project};
use crate::values::clock;

/// A file that is given, and what is known of it.
pub struct FileNotice {
    filename: String,
    known: KnownBad,
}

/// What is known of a file's age.
#[derive(Default)]
struct FileAge {
    project: Option<ProjectName>,
    uploaded: Option<SystemTime>,
    first_seen: Option<SystemTime>,
    /// Whether more may be known, and cannot be read now.
    is_unreadable: bool,
}

impl Pages {
    /// Judges a file of GitLab's by what is known of it. Where its date is not known, its project's
    /// page is asked for in the caller's name, which has GitLab asked for dates. Counts nothing: the
    /// caller may be none that GitLab lets see the file, and any client may read the counts.
    ///
    /// # Errors
    /// Why no caller may have it.
    pub async fn judge(
        &self,
        caller: &Caller,
        file: &FileRef,
        now: Instant,
    ) -> Result<(), PolicyRefusal> {
        if let Some((project, status)) = self.quarantine_of(file).await {
            return self.fetcher.check(&JudgedFile {
                source: &file.scope,
                project: Some(&project),
                filename: file.filename.as_str(),
                uploaded: None,
                first_seen: None,
                status: Some(&status),
            });
        }
        let policies = self.fetcher.sources.policies();
        if !policies.judge_any(&file.scope) {
            return Ok(());
        }
        let mut age = FileAge::default();
        if policies.age(&file.scope).is_some() {
            age = self.age_of(file).await;
        }
        if age.uploaded.is_none() && self.is_judged_by_dates(&file.scope) {
            self.ask_for_age(caller, file, now).await;
            age = self.age_of(file).await;
        }
        let mut judged = JudgedFile {
            source: &file.scope,
            project: age.project.as_ref(),
            filename: file.filename.as_str(),
            uploaded: age.uploaded,
            first_seen: age.first_seen,
            status: None,
        };
        if age.is_unreadable {
            judged = judged.with_unreadable_facts();
        }
        self.fetcher.check(&judged)
    }

    /// Counts a policy's refusal that a caller is told who may see the file.
    pub fn count_refusal(&self, refusal: &PolicyRefusal) {
        self.fetcher.count_refusal(refusal);
    }

    /// What is to be said of a file of GitLab's once it is given; of a mirror's it is said when its
    /// page is looked at.
    pub fn notice(&self, file: &FileRef) -> Option<FileNotice> {
        let policies = self.fetcher.sources.policies();
        if file.scope.is_mirror() || !policies.judge_any(&file.scope) {
            return None;
        }
        let filename = file.filename.as_str();
        let known = policies.notice(&JudgedFile {
            source: &file.scope,
            project: None,
            filename,
            uploaded: None,
            first_seen: None,
            status: None,
        })?;
        Some(FileNotice {
            filename: filename.to_owned(),
            known,
        })
    }

    /// Says it.
    pub fn note_given(&self, notice: &FileNotice) {
        self.fetcher.say_vulnerable(&notice.filename, &notice.known);
    }

    /// The project of a file whose page said last that it is quarantined, if there is one.
    async fn quarantine_of(&self, file: &FileRef) -> Option<(ProjectName, Arc<ProjectStatus>)> {
        let learned = &self.fetcher.dependencies.learned;
        if self.offline.is_none() && !learned.has_quarantines() {
            return None;
        }
        for name in project_candidates(file.filename.as_str()) {
            let page = PageRef {
                scope: file.scope.clone(),
                name: Some(name.clone()),
            };
            if let Some(status) = learned.quarantine(&page) {
                return Some((name, Arc::new(status)));
            }
            let Some(offline) = &self.offline else {
                continue;
            };
            // A page that cannot be read says nothing, as one that is not here.
            if let Ok(Some(status)) = offline.quarantine(&page).await {
                return Some((name, status));
            }
        }
        None
    }

    /// What the disk and memory know.
    async fn age_of(&self, file: &FileRef) -> FileAge {
        let mut is_unreadable = false;
        for name in project_candidates(file.filename.as_str()) {
            let page = PageRef {
                scope: file.scope.clone(),
                name: Some(name),
            };
            let dates = self.fetcher.dates_of(&page).await;
            is_unreadable |= dates.is_unreadable();
            let facts = dates.find(file.digest, file.filename.as_str());
            let uploaded = facts.and_then(|facts| facts.upload_time);
            let first_seen = dates.first_seen(file.digest, file.filename.as_str());
            if uploaded.is_some() || first_seen.is_some() {
                return FileAge {
                    project: page.name,
                    uploaded,
                    first_seen,
                    is_unreadable,
                };
            }
        }
        FileAge {
            is_unreadable,
            ..FileAge::default()
        }
    }

    /// Has the page of a file's project looked at, which finds out about its files' dates. A caller
    /// that may not see it learns nothing by that.
    async fn ask_for_age(&self, caller: &Caller, file: &FileRef, now: Instant) {
        let Some(name) = usual_project(file.filename.as_str()) else {
            return;
        };
        let page = PageRef {
            scope: file.scope.clone(),
            name: Some(name),
        };
        let request = PageRequest {
            caller: caller.clone(),
            page: page.clone(),
            format: Format::Json,
            insists: false,
            ahead: false,
        };
        let shown = Box::pin(self.page(&request, now)).await;
        // Of a page that is too large to keep, no list of its files is at hand.
        if let Ok(PageReply::Stream(_)) = shown {
            let dates = &self.fetcher.dependencies.dates;
            dates.want(caller, &page, &Arc::from([file.clone()]));
            dates.settled(&page).await;
        }
    }

    /// Waits for the dates of a page's files, for as long as that may take, and has the page made
    /// again with what is known then.
    pub(super) async fn await_dates(&self, request: &PageRequest, page: &mut Arc<Page>) {
        let fetcher = &self.fetcher;
        fetcher.dependencies.dates.settled(&request.page).await;
        let key = CacheKey::new(request.page.clone(), request.format, &request.caller);
        if !fetcher.is_due_again(&key, page) {
            return;
        }
        if let Some((entry, known)) = fetcher.memory.entry(&key) {
            *page = fetcher.up_to_date(&key, entry.body, known).await;
        }
        if !fetcher.is_due_again(&key, page) {
            return;
        }
        // Its body is not on the disk, or not yet.
        if let Ok(PageReply::Page { page: again, .. }) = self.own(request, clock::now()).await {
            *page = again;
        }
    }
}
