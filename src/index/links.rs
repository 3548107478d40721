//! Which links on GitLab's pages lead through larder, and what they become.
//!
//! A link to a configured base that is one of our routes becomes a root-relative link with the path exactly as GitLab
//! spelled it; every other link stays. Root-relative, so that no `Host` a client sends can ever be part of a page.
//! Must not know HTML.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use crate::registry::{Bases, FileRef, LinkTarget, Route};

/// Bases that were warned about; more are only counted as seen.
const WARNED_MAX: usize = 64;

#[derive(Clone)]
pub(super) struct LinkRewriter {
    bases: Bases,
    path_prefix: Arc<str>,
    warned: Arc<Mutex<HashSet<String>>>,
}

impl LinkRewriter {
    pub(super) fn new(bases: Bases, path_prefix: &str) -> Self {
        Self { bases, path_prefix: path_prefix.trim_end_matches('/').into(), warned: Arc::default() }
    }

    /// The link's replacement, and the file it leads to, if it is one.
    pub(super) fn rewrite(&self, link: &Url) -> Option<(String, Option<FileRef>)> {
        match self.bases.recognise(link) {
            LinkTarget::Ours { route, path } => {
                let file = match route {
                    Route::File(file) => Some(file),
                    _ => None,
                };
                Some((format!("{}{path}", self.path_prefix), file))
            }
            LinkTarget::UnknownBase { base } => {
                self.warn_once(base);
                None
            }
            LinkTarget::Foreign => None,
        }
    }

    fn warn_once(&self, base: String) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() < WARNED_MAX && !warned.contains(&base) {
            tracing::warn!(
                %base,
                "GitLab's pages link to a base that is not configured, so these links go past larder; \
                 if it is this GitLab's external URL, add it to gitlab.external_urls"
            );
            warned.insert(base);
        }
    }
}
