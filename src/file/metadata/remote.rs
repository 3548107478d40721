//! A wheel's METADATA read from upstream by ranges (RFC 9110 §14), in a caller's name.
//!
//! Owns when the pieces of several answers belong to one file: each is a 206 for exactly what was
//! asked, of one length, under one validator. An answer that is no such piece ends the reading, its
//! body dropped at once. Must not know what is remembered of it.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::time::timeout;

use crate::access::Credential;
use crate::file::download::tail::Tail;
use crate::file::ranges::Ranges;
use crate::registry::{FileRef, Route};
use crate::simple::WheelFilename;
use crate::upstream::{
    FileAnswer, PassThrough, Peer, Upstream, UpstreamError, UpstreamRequest, Validators,
    WantedRange,
};
use crate::values::byte_range::{ByteRange, Extent};
use crate::wheel::{MetadataProgress, MetadataReader, UnreadableWheel};

/// uv reads a wheel through a buffer of so many bytes.
const READER_BUFFER_BYTES: u64 = 8192;

/// For all pieces of one wheel that no client waits for: the prefetch gives up on a slow upstream.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Why upstream's pieces came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Upstream sends the whole where a piece is asked for.
    #[error("upstream does not answer ranges")]
    NoRanges,
    #[error("upstream's pieces do not belong to one file")]
    Unsteady,
    #[error("more of the wheel would have to be read than metadata.size allows")]
    TooMuch,
    #[error("upstream refused the wheel ({})", .0.status)]
    Refused(PassThrough),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Unreadable(#[from] UnreadableWheel),
    /// The metadata was read.
    #[error("the store cannot take the metadata")]
    Unkept(Bytes),
}

/// Reads so many bytes at the end of a wheel, where its METADATA may be.
pub async fn tail(
    upstream: (&Upstream, &Ranges),
    credential: &Credential,
    file: &FileRef,
    bytes: u64,
) -> Result<Tail, RemoteError> {
    WheelFilename::parse(file.filename.as_str()).ok_or(UnreadableWheel::FileName)?;
    let route = Route::File(file.clone());
    let mut ask = UpstreamRequest::plain(&route, credential);
    let read = piece(upstream, &mut ask, ByteRange::Suffix(bytes), None);
    let RangePart {
        bytes,
        whole,
        headers,
    } = within(READ_TIMEOUT, upstream.0.peer_of(&file.scope), read).await?;
    Ok(Tail {
        bytes,
        whole,
        headers,
    })
}

/// What was read of a wheel.
pub struct ReadWheel {
    pub metadata: Vec<u8>,
    /// The spans that it was found in, and where each begins.
    pub pieces: Vec<(u64, Bytes)>,
}

/// Reads the METADATA of the wheel that this is the end of, taking at most so many bytes of it, the
/// end among them, within `limit`.
pub async fn metadata(
    upstream: (&Upstream, &Ranges),
    credential: &Credential,
    file: &FileRef,
    tail: &Tail,
    bytes_max: u64,
    limit: Duration,
) -> Result<ReadWheel, RemoteError> {
    let peer = upstream.0.peer_of(&file.scope);
    let reading = pieces(upstream, credential, file, tail, bytes_max);
    within(limit, peer, reading).await
}

async fn within<T>(
    limit: Duration,
    peer: Peer,
    reading: impl Future<Output = Result<T, RemoteError>>,
) -> Result<T, RemoteError> {
    match timeout(limit, reading).await {
        Ok(read) => read,
        Err(_) => Err(UpstreamError::Silent(peer, limit).into()),
    }
}

async fn pieces(
    upstream: (&Upstream, &Ranges),
    credential: &Credential,
    file: &FileRef,
    tail: &Tail,
    bytes_max: u64,
) -> Result<ReadWheel, RemoteError> {
    let wheel = WheelFilename::parse(file.filename.as_str()).ok_or(UnreadableWheel::FileName)?;
    let route = Route::File(file.clone());
    let mut ask = UpstreamRequest::plain(&route, credential);
    let mut left = bytes_max
        .checked_sub(tail.bytes.len() as u64)
        .ok_or(RemoteError::TooMuch)?;
    let first = WholeFile {
        whole: tail.whole,
        validator: tail.validator(),
    };
    let mut reader = MetadataReader::from_end(wheel, first.whole, tail.bytes.len() as u64);
    let mut pieces = vec![(tail.start(), tail.bytes.clone())];
    let mut bytes = tail.bytes.clone();
    loop {
        let wanted = match reader.give(&bytes)? {
            MetadataProgress::Metadata(metadata) => return Ok(ReadWheel { metadata, pieces }),
            MetadataProgress::Need(wanted) => wanted,
        };
        let asked = missing(wanted, tail);
        left = left
            .checked_sub(asked.bytes())
            .ok_or(RemoteError::TooMuch)?;
        // Without a validator nothing tells whether two pieces are of one file.
        if first.validator.is_none() {
            return Err(RemoteError::Unsteady);
        }
        let range = ByteRange::From {
            first: asked.start,
            last: Some(asked.end - 1),
        };
        let next = piece(upstream, &mut ask, range, Some(&first)).await?;
        if next.whole != first.whole
            || Validators::of(&next.headers).for_resume() != first.validator.as_ref()
        {
            return Err(RemoteError::Unsteady);
        }
        pieces.push((asked.start, next.bytes.clone()));
        bytes = joined(wanted, next.bytes, tail);
    }
}

/// What of a wanted span is not in the wheel's end. A span before it is rounded up as uv rounds it,
/// whose own range is answered from the same bytes then.
fn missing(wanted: Extent, tail: &Tail) -> Extent {
    let rounded = wanted.start + wanted.bytes().next_multiple_of(READER_BUFFER_BYTES);
    Extent {
        start: wanted.start,
        end: rounded.max(wanted.end).min(tail.start()),
    }
}

/// The wanted span, of the bytes that were missing of it and the wheel's end.
fn joined(wanted: Extent, missing: Bytes, tail: &Tail) -> Bytes {
    let length = usize::try_from(wanted.bytes()).unwrap_or(usize::MAX);
    if length <= missing.len() {
        return missing.slice(..length);
    }
    let in_tail = (length - missing.len()).min(tail.bytes.len());
    let parts = [&missing[..], &tail.bytes[..in_tail]];
    parts.concat().into()
}

/// What all pieces of one reading share.
struct WholeFile {
    whole: u64,
    validator: Option<HeaderValue>,
}

struct RangePart {
    bytes: Bytes,
    whole: u64,
    headers: HeaderMap,
}

/// Asks for one piece, of the file that the first one was of.
async fn piece(
    (upstream, ranges): (&Upstream, &Ranges),
    ask: &mut UpstreamRequest<'_>,
    range: ByteRange,
    first: Option<&WholeFile>,
) -> Result<RangePart, RemoteError> {
    let if_range = first.and_then(|first| first.validator.clone());
    let (range, answer) = match ranges
        .ask(upstream, ask, WantedRange { range, if_range })
        .await?
    {
        FileAnswer::Part(range, answer) => (range, answer),
        // With a validator the whole means that it is another file by now.
        FileAnswer::Whole(_) if first.is_some() => return Err(RemoteError::Unsteady),
        FileAnswer::Whole(_) | FileAnswer::RangeRefused(_) => return Err(RemoteError::NoRanges),
        FileAnswer::Refused(relayed) => return Err(RemoteError::Refused(relayed)),
        FileAnswer::Unsatisfiable(_) | FileAnswer::NotModified | FileAnswer::Admitted(_) => {
            return Err(RemoteError::Unsteady);
        }
    };
    // Nothing tells whether a piece is coded as it says.
    let answer = answer.uncoded()?;
    let whole = range.whole.ok_or(RemoteError::Unsteady)?;
    let came = Extent {
        start: range.first,
        end: range.last + 1,
    };
    let length = usize::try_from(came.bytes()).map_err(|_| RemoteError::Unsteady)?;
    let peer = match ask.route.scope() {
        Some(scope) => upstream.peer_of(scope),
        None => Peer::GitLab,
    };
    let headers = answer.headers;
    let bytes = answer.body.collect(length).await;
    let bytes = bytes.map_err(|why| UpstreamError::of_body(&peer, &why))?;
    if bytes.len() != length {
        return Err(RemoteError::Unsteady);
    }
    Ok(RangePart {
        bytes,
        whole,
        headers,
    })
}
