//! Why the shared store was of no use: a miss, whatever it was.
//!
//! Messages are for the log. Must not know what was asked for.

use http::StatusCode;

use super::http_service::{LeftAlone, MisdirectedRead, RejectedUpload};
use crate::upstream::error::UpstreamError;
use crate::values::error_chain;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharedStoreError {
    #[error("there is no shared store: set shared_store.url")]
    None,
    #[error("this larder only reads the shared store (shared_store.concurrent_writes = 0)")]
    ReadsOnly,
    #[error("the shared store has no such object")]
    Absent,
    #[error("the shared store has no such bucket")]
    NoBucket,
    #[error("the shared store refuses larder")]
    Refused,
    #[error("the shared store could not be reached several times in a row, and is left alone")]
    LeftAlone,
    #[error("no credential for the shared store was to be had, and it is left alone for a while")]
    NoCredential,
    #[error("as many files are read from the shared store as may be at one time")]
    Busy,
    #[error("the shared store does not take it: it answered {0}")]
    Rejected(StatusCode),
    #[error("the shared store answered {0}")]
    Answered(StatusCode),
    #[error("the shared store answered {0}: check shared_store.region and endpoint")]
    Misdirected(StatusCode),
    #[error("{0}")]
    Wrong(&'static str),
    #[error("{0}")]
    Failed(String),
}

/// How engines say that it is the bucket which is not there (S3 API, error codes).
const NO_SUCH_BUCKET: &str = "NoSuchBucket";

impl SharedStoreError {
    pub fn of(why: &object_store::Error) -> Self {
        match why {
            // A missing bucket is told from a missing object by the code in the answer alone.
            object_store::Error::NotFound { source, .. } => {
                if error_chain::in_full(source.as_ref()).contains(NO_SUCH_BUCKET) {
                    Self::NoBucket
                } else {
                    Self::Absent
                }
            }
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => Self::Refused,
            other => Self::of_request(other),
        }
    }

    fn of_request(why: &object_store::Error) -> Self {
        if error_chain::find::<LeftAlone>(why).is_some() {
            return Self::LeftAlone;
        }
        if let Some(rejected) = error_chain::find::<RejectedUpload>(why) {
            return Self::Rejected(rejected.0);
        }
        if let Some(misdirected) = error_chain::find::<MisdirectedRead>(why) {
            return Self::Misdirected(misdirected.0);
        }
        match error_chain::find::<UpstreamError>(why) {
            Some(UpstreamError::Failed(_, status)) => Self::Answered(*status),
            Some(why) => Self::Failed(why.to_string()),
            None => Self::Failed(why.to_string()),
        }
    }

    /// Whether another larder, or this one a little later, may find it otherwise: nothing is wrong
    /// with what was asked.
    pub fn may_pass(&self) -> bool {
        !matches!(
            self,
            Self::None | Self::ReadsOnly | Self::Absent | Self::Rejected(_) | Self::Wrong(_)
        )
    }

    /// Whether the shared store was reached and would not do this now.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Refused | Self::Answered(_))
    }
}
