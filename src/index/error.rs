//! Why there is no page to show.
//!
//! Messages go to clients: no addresses in them. Must not know statuses.

use std::sync::Arc;

use http::StatusCode;

use crate::registry::policy::PolicyRefusal;
use crate::registry::{Filename, PageRef, Scope};
use crate::simple::ProjectName;
use crate::upstream::UpstreamError;
use crate::values::byte_size::in_units;

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
    #[error(
        "{0} is no private name (private_packages), and this view's sources of GitLab's answer for those alone"
    )]
    NotPrivate(ProjectName),
    #[error(
        "whether GitLab has this package it tells only a caller that it knows: show a credential"
    )]
    CredentialWanted,
    #[error(
        "whether {0} lacks this package or hides it cannot be told: GitLab answers anyone about it, and may take this \
         credential for none; send the token as PRIVATE-TOKEN, or name the group's projects as sources"
    )]
    UnknownCaller(Scope),
    #[error(
        "{scope} shows this caller no {name}, and has shown it before: no other source answers for it (if it was \
         deleted: larder purge {scope}/{name})",
        scope = .0.scope,
        name = .0.name.as_ref().map_or("", ProjectName::as_str)
    )]
    Hidden(PageRef),
    #[error(
        "GitLab answered {1} for {0}: it is not there, or this caller may not read it, so that no other source answers"
    )]
    SourceRefused(Scope, StatusCode),
    #[error(
        "nothing of {0} is here and larder is offline: whether it has this package is not known, so that no other source answers"
    )]
    SourceUnknown(Scope),
    #[error(
        "the list of {0} is larger than index.page_size ({max}), so that this view has no list: ask for a project by its \
         name, or have more kept",
        max = in_units(*.1)
    )]
    ListTooLarge(Scope, u64),
    #[error(
        "the mirror {0} is for callers whom GitLab lets read {1}, with a credential that GitLab knows"
    )]
    NotInAudience(Scope, Scope),
    #[error("the mirror {0} is not for every caller: show the credential that GitLab knows")]
    AudienceUnknown(Scope),
    #[error("no page of this mirror lists this file")]
    NotListed,
    /// No caller may have it.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    #[error(
        "larder's advisories (policy.advisories) are too old, or cannot be read, and nothing is given until they are renewed: its log and /-/health/ready say why"
    )]
    Closed,
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
