//! Why there is no page to show.
//!
//! Messages go to clients: no addresses in them. Must not know statuses.

use std::sync::Arc;

use crate::registry::policy::PolicyRefusal;
use crate::registry::{Filename, PageRef, Scope};
use crate::simple::ProjectName;
use crate::upstream::UpstreamError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum PageError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("upstream's answer is not an index page: {0}")]
    NotAPage(Arc<str>),
    #[error("upstream's page broke off: {0}")]
    Broken(Arc<str>),
    #[error(
        "upstream's page is larger than index.page_size, and too large to be turned into the other format"
    )]
    TooLarge,
    #[error("{0} is a private name (private_packages): it is never asked for at a mirror")]
    PrivateName(ProjectName),
    #[error("no page of this mirror lists this file")]
    NotListed,
    /// No caller may have it.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    #[error("no package {0} here, and larder is offline")]
    NoPackage(ProjectName),
    #[error("nothing of {0} is here, and larder is offline")]
    NothingOf(Scope),
    #[error("{0} is not in the cache, and larder is offline")]
    NotHeld(Filename),
    #[error("internal error with this page; see larder's log for this request id")]
    Internal,
}

impl PageError {
    /// Offline there is no such page, and no upstream to ask.
    pub(super) fn absent(page: &PageRef) -> Self {
        match &page.name {
            Some(name) => Self::NoPackage(name.clone()),
            None => Self::NothingOf(page.scope.clone()),
        }
    }

    pub(super) fn not_a_page(why: impl std::fmt::Display) -> Self {
        Self::NotAPage(why.to_string().into())
    }
}
