//! What upstream's page of a project no longer says as it did: a file that is gone, one with
//! another content under its name, and one that is yanked no more.
//!
//! Upstream's own pages are compared, of one format, as they were stored: what policies leave out
//! of them is no change. The page of a group is not compared, which lists for each caller what that
//! caller may see. Must not know what is served.

use bytes::Bytes;
use url::Url;

use super::Fetcher;
use crate::index::changes::{PageFiles, changes, files_on};
use crate::index::error::PageError;
use crate::index::page_counts::FileLoss;
use crate::registry::{PageRef, Route, ScopeKind};
use crate::simple::{FileChange, Format, ProjectName};
use crate::store::PageMeta;
use crate::values::correlation;
use crate::values::digest::Digest;

/// Changes of one page that are said one by one.
const SAID_OF_PAGE_MAX: usize = 10;

/// Of a file's name, as much as the log needs.
const LOGGED_CHARS_MAX: usize = 100;

/// A page as upstream sent it.
pub(super) type UpstreamPage = (PageMeta, Bytes);

/// A file that is no longer what it was, and the content that it had.
struct LostFile {
    filename: String,
    loss: FileLoss,
    was: Option<Digest>,
}

impl Fetcher {
    /// What the disk has of a page that another one is about to replace.
    pub(super) async fn replaced_page(
        &self,
        page: &PageRef,
        format: Format,
        came: &UpstreamPage,
    ) -> Option<UpstreamPage> {
        if page.name.is_none() || page.scope.kind() == ScopeKind::Group {
            return None;
        }
        let shelf = &self.dependencies.page_store;
        let stored = shelf.load(&Route::Page(page.clone()), format).await;
        let (meta, body) = stored.ok()??;
        if body == came.1 {
            None
        } else {
            Some((meta, body))
        }
    }

    /// Counts and says what is no longer as it was.
    pub(super) async fn say_changed_files(
        &self,
        page: &PageRef,
        format: Format,
        before: UpstreamPage,
        came: UpstreamPage,
    ) {
        let Some(project) = page.name.clone() else {
            return;
        };
        let compare = move || lost_files(&project, format, &before, &came);
        let lost = match correlation::spawn_blocking(compare).await {
            Ok(Ok(lost)) => lost,
            Ok(Err(why)) => {
                tracing::debug!(error = %why, page = %page.path(), "a page cannot be compared with the one before it");
                return;
            }
            Err(_) => return,
        };
        let counts = &self.dependencies.page_counts;
        let mut said = 0;
        let mut unsaid = 0;
        for file in lost {
            if !counts.lose_file(page, &file.filename, file.loss) {
                continue;
            }
            if said < SAID_OF_PAGE_MAX {
                said += 1;
                say(page, &file);
            } else {
                unsaid += 1;
            }
        }
        if unsaid > 0 {
            tracing::info!(page = %page.path(), files = unsaid, "further files of this page are not what they were, and are only counted");
        }
    }
}

fn say(page: &PageRef, lost: &LostFile) {
    let file: String = lost.filename.chars().take(LOGGED_CHARS_MAX).collect();
    let page = page.path();
    match (lost.loss, lost.was) {
        (FileLoss::Replaced(now), Some(was)) => tracing::warn!(
            page, file, %was, %now,
            "a file has another sha256 on its index's page than before: it was replaced under the same name"
        ),
        (FileLoss::Unyanked, _) => {
            tracing::info!(page, file, "a file is yanked no more on its index's page");
        }
        (FileLoss::Withdrawn | FileLoss::Replaced(_), _) => {
            tracing::info!(page, file, "a file is no longer on its index's page");
        }
    }
}

/// By name. That the page of a quarantined project lists nothing is said as its status.
fn lost_files(
    project: &ProjectName,
    format: Format,
    before: &UpstreamPage,
    came: &UpstreamPage,
) -> Result<Vec<LostFile>, PageError> {
    let read = |(meta, body): &UpstreamPage| {
        let url = Url::parse(&meta.url).map_err(PageError::not_a_page)?;
        files_on(format, project, url, body)
    };
    let (before, _) = read(before)?;
    let (after, status) = read(came)?;
    let is_quarantined = match &status {
        Some(status) => status.is_quarantined(),
        None => false,
    };
    let mut lost = Vec::new();
    for (filename, change) in changes(&before, &after) {
        let was = sha256(&before, &filename);
        let loss = match (change, was, sha256(&after, &filename)) {
            (FileChange::Withdrawn, ..) if !is_quarantined => FileLoss::Withdrawn,
            (FileChange::Replaced, Some(_), Some(now)) => FileLoss::Replaced(now),
            (FileChange::Unyanked, ..) => FileLoss::Unyanked,
            _ => continue,
        };
        lost.push(LostFile {
            filename,
            loss,
            was,
        });
    }
    Ok(lost)
}

fn sha256(files: &PageFiles, filename: &str) -> Option<Digest> {
    files.get(filename)?.sha256
}
