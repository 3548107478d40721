//! What a stored page of a mirror says about one of its paths, found without asking upstream.
//!
//! For `larder explain`. Judged by the same links and the same policies as pages that are
//! served. Must not know where the page was stored.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use url::Url;

use crate::index::error::PageError;
use crate::index::rewrite::mirror_files::{MirrorFile, MirrorFiles};
use crate::index::rewrite::{RewriteJob, Rewriting};
use crate::index::sources::PageSources;
use crate::registry::{MirrorPath, PageRef};
use crate::simple::{CoreMetadata, Format};
use crate::store::PageDates;
use crate::upstream::Validators;
use crate::values::digest::Digest;

/// A path as a page lists it.
#[derive(Debug)]
pub struct PathLookup {
    pub sha256: Option<Digest>,
    /// Upstream's own PEP 658 metadata.
    pub metadata: Option<CoreMetadata>,
    /// Why no caller may have it, if a policy says so.
    pub refusal: Option<PageError>,
    /// The page of a quarantined project refuses what it does not list, too.
    pub is_listed: bool,
}

/// Looks a path up on a page that was stored in `source` and came from `url`; `dates` is what is
/// known of its files besides.
///
/// # Errors
/// When the page is none, or its mirror is not configured.
pub fn lookup(
    sources: &PageSources,
    page: &PageRef,
    path: &MirrorPath,
    (url, source, body): (&str, Format, &Bytes),
    dates: PageDates,
    now: SystemTime,
) -> Result<Option<PathLookup>, PageError> {
    let links = sources.links_of(&page.scope, url);
    let job = RewriteJob {
        page: page.clone(),
        source,
        target: source,
        url: Url::parse(url).map_err(PageError::not_a_page)?,
        links: links.ok_or(PageError::Internal)?,
        dates: Arc::new(dates),
    };
    let rewritten = Rewriting::whole(&job, body, &Validators::default())?;
    let files = MirrorFiles::new(rewritten.collected.mirrored, rewritten.status);
    let found = files.find(path);
    let is_listed = found.is_some();
    let file = match (found, files.status()) {
        (Some(file), _) => file,
        (None, Some(status)) if status.is_quarantined() => {
            let mut unlisted = MirrorFile::new(path, None, None, None);
            unlisted.status = Some(Arc::clone(status));
            unlisted
        }
        (None, _) => return Ok(None),
    };
    let judged = file.judged(path, page.name.as_ref());
    let refusal = sources.policies().judge(&judged, now).check(now).err();
    Ok(Some(PathLookup {
        sha256: file.sha256,
        metadata: file.metadata,
        refusal: refusal.map(PageError::from),
        is_listed,
    }))
}
