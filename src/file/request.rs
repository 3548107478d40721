//! What is asked of the file room, and what it gives.
//!
//! Must not know how a file is come by.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use super::checked_body::CheckedBody;
use super::download::DownloadHandle;
use super::error::FileError;
use crate::access::{Caller, Permit};
use crate::registry::FileRef;
use crate::store::{Blob, PartialFile};
use crate::upstream::{ContentRange, IdleBody, PassThrough, UpstreamError};
use crate::values::byte_range::ByteRange;
use crate::values::cache_status::CacheStatus;

/// What of a file a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedPart {
    Head,
    Whole,
    Range(ByteRange),
}

/// A client's wish for a file.
#[derive(Clone)]
pub struct FileRequest {
    pub caller: Caller,
    pub file: FileRef,
    pub wanted: WantedPart,
    /// The client has a part already, under our tag: only checked bytes may be added to it.
    pub resumes: bool,
    /// The client cannot be told of a break unless the length is known first (HTTP/1.0).
    pub needs_length: bool,
}

/// Where a body's bytes are.
#[derive(Debug)]
pub enum FileSource {
    Blob(Arc<Blob>),
    /// Behind a watermark; its handle keeps a download going.
    Partial(Arc<PartialFile>, Option<DownloadHandle>),
}

/// What a client gets.
pub enum FileReply {
    /// Bytes of ours, all or a range.
    Open {
        permit: Permit,
        source: FileSource,
        size: Option<u64>,
        status: CacheStatus,
    },
    /// The head alone.
    Known {
        permit: Permit,
        size: u64,
        status: CacheStatus,
    },
    /// Upstream's own 206, uncached.
    Partial { range: ContentRange, body: IdleBody },
    /// The whole, hashed in passing and kept nowhere, because the store cannot take it.
    Checked {
        permit: Permit,
        size: Option<u64>,
        body: Box<CheckedBody>,
    },
    /// As upstream sends it, with nothing to check it by. Without a body, the head alone.
    Unverified {
        size: Option<u64>,
        body: Option<IdleBody>,
    },
    /// There is nothing at this range of a file of this length.
    Unsatisfiable { size: Option<u64> },
    /// Upstream's own answer to this caller.
    PassThrough(PassThrough),
}

impl FileReply {
    /// The same without its bytes, for a client that has them.
    pub fn head(self) -> Self {
        match self {
            Self::Open {
                permit,
                size: Some(size),
                status,
                ..
            } => Self::Known {
                permit,
                size,
                status,
            },
            other => other,
        }
    }
}

/// Why a round gave a caller no bytes.
pub(super) enum NoReply {
    /// The cause is gone the next time.
    Again,
    /// Upstream refused the caller, in these words.
    Refused(PassThrough),
    Failed(FileError),
}

impl NoReply {
    pub(super) fn into_reply(self) -> Result<FileReply, FileError> {
        match self {
            Self::Again => Err(FileError::Internal),
            Self::Refused(answer) => Ok(FileReply::PassThrough(answer)),
            Self::Failed(why) => Err(why),
        }
    }
}

impl From<FileError> for NoReply {
    fn from(why: FileError) -> Self {
        Self::Failed(why)
    }
}

impl From<UpstreamError> for NoReply {
    fn from(why: UpstreamError) -> Self {
        Self::Failed(why.into())
    }
}

/// What reading a wheel's end came to, for one caller.
#[derive(Clone)]
pub(super) enum EndRead {
    /// It is held for the caller; so long is the wheel.
    Held(u64),
    /// The wheel is being downloaded.
    Downloading,
    Refused(PassThrough),
    /// Upstream is silent: another question would wait as long.
    Failed(UpstreamError),
    Nothing,
}

/// GitLab's decision about one caller and one file.
#[derive(Clone)]
pub(super) enum AccessAnswer {
    Admitted { asked: Instant, status: StatusCode },
    Refused(PassThrough),
    Failed(UpstreamError),
}
