//! What is asked of the file room, and what it gives.
//!
//! Must not know how a file is come by.

use std::sync::Arc;

use super::checked::CheckedBody;
use super::flight::Ticket;
use crate::access::{Caller, Permit};
use crate::registry::FileRef;
use crate::store::{Blob, PartialFile};
use crate::upstream::{ContentRange, IdleBody, PassThrough};
use crate::values::byte_range::ByteRange;
use crate::values::cache_status::CacheStatus;

/// What of a file a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Head,
    Whole,
    Range(ByteRange),
}

/// A client's wish for a file.
#[derive(Clone)]
pub struct FileRequest {
    pub caller: Caller,
    pub file: FileRef,
    pub wanted: Wanted,
    /// The client has a part already, under our tag: only checked bytes may be added to it.
    pub resumes: bool,
    /// The client cannot be told of a break unless the length is known first (HTTP/1.0).
    pub needs_length: bool,
}

/// Where a body's bytes are.
#[derive(Debug)]
pub enum Source {
    Blob(Arc<Blob>),
    /// Behind a watermark; the ticket keeps a download going.
    PartialFile(Arc<PartialFile>, Option<Ticket>),
}

/// What a client gets.
pub enum FileReply {
    /// Bytes of ours, all or a range.
    Open {
        permit: Permit,
        source: Source,
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
    /// Upstream's own word to this caller.
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
