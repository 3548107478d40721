//! Why there is no page to show.
//!
//! Messages go to clients: no addresses in them. Must not know statuses.

use std::sync::Arc;

use crate::upstream::UpstreamError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum PageError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("GitLab's answer is not an index page: {0}")]
    NotAPage(Arc<str>),
    #[error("GitLab's page broke off: {0}")]
    Broken(Arc<str>),
    #[error("larder stumbled over this page; the log says more")]
    Internal,
}
