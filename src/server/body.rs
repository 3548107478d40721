//! Response bodies.
//!
//! Stored bytes leave only through [`FileBody`], which takes a [`Permit`] and a verified source by
//! type. What the page cache holds is left to the kernel to send, where the connection can
//! (`piece.rs`), or else read into pooled buffers; what it does not hold is read on a blocking
//! thread (`RWF_NOWAIT`: the event loop does not sleep on a disk, unless bytes leave the page cache
//! between the look and the sending). Must not know headers.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::Mutex;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use super::access_log::AccessLogEntry;
use super::piece::{FILE_PIECE_BYTES_MAX, FilePieces, Piece};
use crate::access::Permit;
use crate::file::{CheckedBody, FileSource};
use crate::index::{PageStream, Representation};
use crate::store::{Availability, Cause, ReadSpan};
use crate::upstream::IdleBody;
use crate::values::byte_range::Extent;
use crate::values::correlation;
use crate::values::error_chain::BoxError;
use crate::values::memory_file::MemoryFile;

/// Bytes read from disk at a time, for one answer.
const CHUNK_BYTES: usize = 256 * 1024;

/// The same where one connection has many answers at a time.
const SMALL_CHUNK_BYTES: usize = 64 * 1024;

/// A read of no more than this is copied out of its buffer.
const COPIED_BYTES_MAX: usize = SMALL_CHUNK_BYTES;

/// Between two looks whether the page cache holds a stretch of a file.
const LOOK_BYTES: usize = 256 * 1024;

/// Buffers kept for reuse by all connections together.
const POOLED_MAX: usize = 32;

/// Any body larder sends, with its line in the log.
pub struct ReplyBody {
    inner: Inner,
    entry: Option<Box<AccessLogEntry>>,
}

enum Inner {
    Bytes(Option<Bytes>),
    InFile(Box<BytesInFile>),
    File(Box<FileBody>),
    PassThrough(Box<Exactly>),
    Checked(Box<CheckedBody>),
    Page(Box<PageStream>),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl ReplyBody {
    pub(super) fn empty() -> Self {
        Self::from(Inner::Bytes(None))
    }

    pub(super) fn bytes(bytes: Bytes) -> Self {
        Self::from(Inner::Bytes(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// A page's.
    pub(super) fn representation(form: &Representation) -> Self {
        let bytes = form.body.clone();
        let Some(file) = &form.file else {
            return Self::bytes(bytes);
        };
        Self::from(Inner::InFile(Box::new(BytesInFile {
            bytes,
            file: Arc::clone(file),
            piece: None,
        })))
    }

    pub(super) fn file(body: FileBody) -> Self {
        Self::from(Inner::File(Box::new(body)))
    }

    /// Upstream's body as it comes, of this length if it was promised.
    pub(super) fn relayed(body: IdleBody, bytes: Option<u64>) -> Self {
        Self::from(Inner::PassThrough(Box::new(Exactly {
            body,
            remaining: bytes,
        })))
    }

    pub(super) fn checked(body: Box<CheckedBody>) -> Self {
        Self::from(Inner::Checked(body))
    }

    pub(super) fn page(stream: Box<PageStream>) -> Self {
        Self::from(Inner::Page(stream))
    }

    /// What an order over the control socket yields, for as long as it does.
    pub(super) fn stream(
        body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    ) -> Self {
        Self::from(Inner::Stream(body.map_err(Into::into).boxed_unsync()))
    }

    /// For a connection that sends pieces of files by itself.
    pub(super) fn in_file_pieces(mut self, pieces: &Arc<FilePieces>) -> Self {
        match &mut self.inner {
            Inner::File(body) => body.pieces = Some(Arc::clone(pieces)),
            Inner::InFile(body) => body.piece = body.file_piece(pieces),
            _ => {}
        }
        self
    }

    /// For a connection that has many answers at a time.
    pub(super) fn in_small_pieces(mut self) -> Self {
        if let Inner::File(body) = &mut self.inner {
            body.chunk_bytes = SMALL_CHUNK_BYTES;
        }
        self
    }

    /// Keeps the entry until it has ended.
    pub(super) fn log_with(&mut self, mut entry: Box<AccessLogEntry>) {
        entry.promised(self.size_hint().exact());
        self.entry = Some(entry);
    }
}

impl From<Inner> for ReplyBody {
    fn from(inner: Inner) -> Self {
        Self { inner, entry: None }
    }
}

impl Body for ReplyBody {
    type Data = Piece;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        let this = &mut *self;
        let frame = ready!(match &this.entry {
            // Bytes in memory have nothing to say.
            Some(entry) if !this.inner.is_ready() => {
                correlation::within(entry.correlation(), || this.inner.poll_frame(cx))
            }
            _ => this.inner.poll_frame(cx),
        });
        if let Some(entry) = &mut this.entry {
            match &frame {
                Some(Ok(frame)) => entry.sent(frame.data_ref().map_or(0, Buf::remaining) as u64),
                Some(Err(why)) => entry.broke(why.as_ref()),
                None => entry.ended(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Bytes(bytes) => bytes.is_none(),
            Inner::File(body) => body.span.end == Some(body.position),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Bytes(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Inner::InFile(body) => SizeHint::with_exact(body.bytes.len() as u64),
            Inner::File(body) => body.span.end.map_or_else(SizeHint::default, |end| {
                SizeHint::with_exact(end - body.position)
            }),
            Inner::PassThrough(body) => body
                .remaining
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Inner::Checked(body) => body.size_hint(),
            Inner::Page(_) | Inner::Stream(_) => SizeHint::default(),
        }
    }
}

impl Inner {
    /// Whether all of it is here.
    fn is_ready(&self) -> bool {
        matches!(self, Self::Bytes(_) | Self::InFile(_))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        Poll::Ready(match self {
            Self::Bytes(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes.into()))),
            Self::InFile(body) => {
                let piece = body.take();
                *self = Self::Bytes(None);
                Some(Ok(Frame::data(piece)))
            }
            Self::File(body) => {
                let piece = ready!(body.poll_piece(cx));
                piece.map(|read| read.map(Frame::data).map_err(Into::into))
            }
            Self::PassThrough(body) => {
                let bytes = ready!(body.poll_bytes(cx));
                bytes.map(|read| read.map(|bytes| Frame::data(bytes.into())))
            }
            Self::Checked(body) => in_memory(ready!(Pin::new(&mut **body).poll_frame(cx))),
            Self::Page(body) => in_memory(ready!(Pin::new(&mut **body).poll_frame(cx))),
            Self::Stream(body) => in_memory(ready!(Pin::new(body).poll_frame(cx))),
        })
    }
}

/// Bytes that lie in a file too.
struct BytesInFile {
    bytes: Bytes,
    file: Arc<MemoryFile>,
    /// Of a connection that sends pieces of files by itself.
    piece: Option<Piece>,
}

impl BytesInFile {
    /// All of them, if they are no more than a piece.
    fn file_piece(&self, pieces: &Arc<FilePieces>) -> Option<Piece> {
        let length = self.bytes.len();
        if length > FILE_PIECE_BYTES_MAX {
            return None;
        }
        pieces.piece(self.file.file(), 0, length)
    }

    fn take(&mut self) -> Piece {
        match self.piece.take() {
            Some(piece) => piece,
            None => std::mem::take(&mut self.bytes).into(),
        }
    }
}

fn in_memory(
    frame: Option<Result<Frame<Bytes>, impl Into<BoxError>>>,
) -> Option<Result<Frame<Piece>, BoxError>> {
    frame.map(|read| {
        let frame = read.map_err(Into::into)?;
        Ok(frame.map_data(Piece::from))
    })
}

/// Bytes of a stored or partial file, for a caller who may have them.
pub(super) struct FileBody {
    source: FileSource,
    file: Arc<File>,
    span: ReadSpan,
    position: u64,
    chunk_bytes: usize,
    /// Of a connection that sends pieces of files by itself.
    pieces: Option<Arc<FilePieces>>,
    pending: Pending,
    /// What follows where the download found no more room.
    rest: Option<Box<CheckedBody>>,
    _permit: Permit,
}

enum Pending {
    Nothing,
    Read(JoinHandle<io::Result<Bytes>>),
    Wait(Pin<Box<dyn Future<Output = Availability> + Send>>),
    Rest(Following),
}

type Following = Pin<Box<dyn Future<Output = Result<Box<CheckedBody>, Cause>> + Send>>;

impl FileBody {
    /// `extent`: the part to send; `None` is all of a file whose length is not known yet.
    pub(super) fn new(permit: Permit, source: FileSource, extent: Option<Extent>) -> Self {
        let span = ReadSpan {
            start: extent.map_or(0, |extent| extent.start),
            end: extent.map(|extent| extent.end),
        };
        let file = match &source {
            FileSource::Blob(blob) => Arc::clone(blob.file()),
            FileSource::Partial(partial, _) => Arc::clone(partial.file()),
        };
        Self {
            source,
            file,
            position: span.start,
            span,
            chunk_bytes: CHUNK_BYTES,
            pieces: None,
            pending: Pending::Nothing,
            rest: None,
            _permit: permit,
        }
    }

    fn available(&self) -> Availability {
        match &self.source {
            FileSource::Blob(blob) => match self.span.end.unwrap_or(blob.size()) - self.position {
                0 => Availability::End,
                bytes => Availability::Bytes(bytes),
            },
            FileSource::Partial(partial, _) => partial.availability(self.span, self.position),
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Cause>>> {
        loop {
            if let Some(rest) = &mut self.rest {
                let piece = ready!(poll_rest(rest, cx));
                if let Some(Ok(bytes)) = &piece {
                    self.position += bytes.len() as u64;
                }
                return Poll::Ready(piece.map(|read| read.map(Piece::from)));
            }
            let availability = match &mut self.pending {
                Pending::Rest(rest) => {
                    let rest = ready!(rest.as_mut().poll(cx));
                    self.pending = Pending::Nothing;
                    match rest {
                        Ok(rest) => self.rest = Some(rest),
                        Err(cause) => return Poll::Ready(Some(Err(cause))),
                    }
                    continue;
                }
                Pending::Read(read) => {
                    let read = ready!(Pin::new(read).poll(cx));
                    self.pending = Pending::Nothing;
                    let Ok(Ok(bytes)) = read else {
                        return Poll::Ready(Some(Err(Cause::Disk)));
                    };
                    return Poll::Ready(Some(self.took(bytes)));
                }
                Pending::Wait(wait) => {
                    let availability = ready!(wait.as_mut().poll(cx));
                    self.pending = Pending::Nothing;
                    availability
                }
                Pending::Nothing => self.available(),
            };
            match availability {
                Availability::End => return Poll::Ready(None),
                Availability::Failed(cause) => match self.following(cause) {
                    Some(rest) => self.pending = Pending::Rest(rest),
                    None => return Poll::Ready(Some(Err(cause))),
                },
                Availability::Wait => {
                    let FileSource::Partial(partial, _) = &self.source else {
                        return Poll::Ready(None);
                    };
                    self.pending =
                        Pending::Wait(Box::pin(Arc::clone(partial).wait(self.span, self.position)));
                }
                Availability::Bytes(bytes) => {
                    if let Some(piece) = self.file_piece(bytes) {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                    let wanted = self.chunk(bytes);
                    if let Some(bytes) = read_cached(&self.file, self.position, wanted) {
                        return Poll::Ready(Some(self.took(bytes)));
                    }
                    self.pending = Pending::Read(self.read_behind(wanted));
                }
            }
        }
    }

    /// As many of these bytes as the connection can send straight from the page cache. A few are
    /// read instead, so that they go out with their head.
    fn file_piece(&mut self, bytes: u64) -> Option<Piece> {
        let pieces = self.pieces.as_ref()?;
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        let wanted = wanted.min(FILE_PIECE_BYTES_MAX);
        if wanted <= COPIED_BYTES_MAX || !is_cached(&self.file, self.position, wanted) {
            return None;
        }
        let piece = pieces.piece(&self.file, self.position, wanted)?;
        self.position += wanted as u64;
        Some(piece)
    }

    /// How many of these bytes are read at a time.
    fn chunk(&self, bytes: u64) -> usize {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        bytes.min(self.chunk_bytes)
    }

    /// Reads from the disk on a blocking thread.
    fn read_behind(&self, wanted: usize) -> JoinHandle<io::Result<Bytes>> {
        let file = Arc::clone(&self.file);
        let position = self.position;
        correlation::spawn_blocking(move || read(&file, position, wanted))
    }

    /// How a reader of all that is left goes on where only room was lacking.
    fn following(&mut self, cause: Cause) -> Option<Following> {
        let FileSource::Partial(partial, Some(handle)) = &mut self.source else {
            return None;
        };
        let to_the_end = self.span.end.is_none_or(|end| partial.size() == Some(end));
        if cause != Cause::Full || !to_the_end {
            return None;
        }
        Some(Box::pin(
            handle
                .take_continuation()?
                .follow(Arc::clone(partial), self.position),
        ))
    }

    fn took(&mut self, bytes: Bytes) -> Result<Piece, Cause> {
        // A file that ends before its verified length was cut under us.
        if bytes.is_empty() {
            return Err(Cause::Disk);
        }
        self.position += bytes.len() as u64;
        Ok(bytes.into())
    }
}

fn poll_rest(rest: &mut CheckedBody, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cause>>> {
    let frame = ready!(Pin::new(rest).poll_frame(cx));
    Poll::Ready(frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default())))
}

/// Whether the page cache holds the last of these bytes and one in each `LOOK_BYTES`, and so, as it
/// is filled and emptied in long runs, all of them.
fn is_cached(file: &File, position: u64, length: usize) -> bool {
    let last = position + length as u64 - 1;
    let mut looks = (position..last).step_by(LOOK_BYTES).chain([last]);
    looks.all(|at| {
        let mut byte = [0];
        let mut part = [IoSliceMut::new(&mut byte)];
        preadv2(file, &mut part, at, ReadWriteFlags::NOWAIT) == Ok(1)
    })
}

/// Reads what the page cache holds, without waiting for the disk.
fn read_cached(file: &File, position: u64, wanted: usize) -> Option<Bytes> {
    let mut buffer = Buffer::take();
    let mut part = [IoSliceMut::new(&mut buffer.bytes[..wanted])];
    match preadv2(file, &mut part, position, ReadWriteFlags::NOWAIT) {
        Ok(0) => None,
        Ok(read) => Some(buffer.filled(read)),
        // EAGAIN: not cached. EOPNOTSUPP: this file system cannot tell. Either way a blocking
        // thread reads it.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => None,
        Err(why) => {
            tracing::debug!(error = %why, "a cached read failed");
            None
        }
    }
}

fn read(file: &File, position: u64, wanted: usize) -> io::Result<Bytes> {
    let mut buffer = Buffer::take();
    loop {
        match file.read_at(&mut buffer.bytes[..wanted], position) {
            Ok(read) => return Ok(buffer.filled(read)),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
}

/// A buffer that goes back to the pool when the last reader of its bytes is done.
struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
}

static POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

impl Buffer {
    fn take() -> Self {
        let pooled = POOL.lock().pop();
        Self {
            bytes: pooled.unwrap_or_else(|| vec![0; CHUNK_BYTES].into()),
            filled: 0,
        }
    }

    /// A few bytes must not hold a whole buffer for as long as a slow client takes them: along a
    /// slow download, hyper would queue one after another.
    fn filled(mut self, bytes: usize) -> Bytes {
        if bytes <= COPIED_BYTES_MAX {
            return Bytes::copy_from_slice(&self.bytes[..bytes]);
        }
        self.filled = bytes;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = POOL.lock();
        if pool.len() < POOLED_MAX {
            pool.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Upstream's body, held to the length that was promised for it, if one was.
struct Exactly {
    body: IdleBody,
    remaining: Option<u64>,
}

impl Exactly {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(piece) = frame.into_data() else {
                        continue;
                    };
                    match self
                        .remaining
                        .map(|remaining| remaining.checked_sub(piece.len() as u64))
                    {
                        Some(None) => Some(Err(Cause::Long.into())),
                        remaining => {
                            self.remaining = remaining.flatten();
                            Some(Ok(piece))
                        }
                    }
                }
                Some(Err(why)) => Some(Err(why.into())),
                None if self.remaining.is_some_and(|remaining| remaining > 0) => {
                    Some(Err(Cause::Short.into()))
                }
                None => None,
            });
        }
    }
}
