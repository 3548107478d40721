//! Why there are no right bytes to be had.
//!
//! Messages go to clients: no addresses in them. Must not know statuses.

use std::sync::Arc;

use crate::store::Cause;
use crate::upstream::UpstreamError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("upstream's file is not usable: {0}")]
    Body(Cause),
    #[error("upstream sent bytes with a wrong sha256 twice; larder asks again in a minute")]
    Blocked,
    #[error("too many downloads are waiting already")]
    Busy,
    #[error("{0} is not in the cache, and larder is offline")]
    NotHeld(Arc<str>),
    #[error("internal error with this file; see larder's log for this request id")]
    Internal,
}

impl FileError {
    /// The same about a file of this name. Offline, what is not here is nowhere.
    pub(super) fn about(self, filename: &str) -> Self {
        match self {
            Self::Upstream(UpstreamError::Offline) => Self::NotHeld(filename.into()),
            why => why,
        }
    }
}
