//! What a stored page of a mirror says about one of its paths, found without asking anybody.
//!
//! For whoever explains an answer that is not given. Judged by the same links and the same cooldown as pages that are
//! served. Must not know where the page was stored.

use std::time::SystemTime;

use bytes::Bytes;
use url::Url;

use super::error::PageError;
use super::mirror_files::MirrorFiles;
use super::rewriting::{Order, Rewriting};
use super::sources::Sources;
use crate::registry::{MirrorPath, PageRef};
use crate::simple::{CoreMetadata, Format};
use crate::upstream::Validators;
use crate::values::digest::Digest;

/// A path as a page lists it.
#[derive(Debug)]
pub struct Glance {
    pub sha256: Option<Digest>,
    /// Upstream's own PEP 658 metadata.
    pub metadata: Option<CoreMetadata>,
    /// Why nobody may have it, if its age says so.
    pub refusal: Option<PageError>,
}

/// Looks a path up on a page that was stored in `source` and came from `url`.
///
/// # Errors
/// When the page is none, or its mirror is not configured.
pub fn glance(
    sources: &Sources,
    page: &PageRef,
    path: &MirrorPath,
    (url, source, body): (&str, Format, &Bytes),
    now: SystemTime,
) -> Result<Option<Glance>, PageError> {
    let links = sources
        .links_of(&page.scope, url)
        .ok_or(PageError::Internal)?;
    let url = Url::parse(url).map_err(PageError::not_a_page)?;
    let job = Order {
        page: page.clone(),
        target: source,
        url,
        links,
    }
    .job(source);
    let rewritten = Rewriting::whole(&job, body, &Validators::default())?;
    let min_age = sources
        .mirror(&page.scope)
        .map(|mirror| mirror.min_age)
        .unwrap_or_default();
    let found = MirrorFiles::new(rewritten.collected.mirrored).find(path);
    Ok(found.map(|file| Glance {
        sha256: file.sha256,
        metadata: file.metadata,
        refusal: file
            .withheld(min_age, now)
            .map(|why| PageError::withheld(why, now)),
    }))
}
