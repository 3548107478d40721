//! A stream whose request heads take little memory, however long their clients take to send them.
//!
//! A usual head is taken as it comes; for the rest of a larger one its client waits until there is
//! room among a few, with the rest in the kernel's hands, so that many half-sent heads cost no more
//! than as many small ones. It is read in small pieces, because hyper's buffer grows with what it
//! is given. What follows a head, a body, is not watched. Must not know HTTP: it is told where a
//! head ends.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// What pip, uv and browsers send has a tenth of this.
const USUAL_BYTES: usize = 8 * 1024;

/// For all heads together that are larger.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

/// Below the size at which hyper would make its buffer larger.
const PIECE_BYTES: usize = 4 * 1024;

thread_local! {
    /// Where a piece is read to. hyper's own room would have to be filled with zeros first, each
    /// time that it asks, and most times nothing has come.
    static PIECE: RefCell<[u8; PIECE_BYTES]> = const { RefCell::new([0; PIECE_BYTES]) };
}

/// The room for large heads of all connections.
#[derive(Clone, Debug)]
pub struct HeadRoom(Arc<Semaphore>);

impl HeadRoom {
    /// For heads of up to this size.
    pub fn new(size_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            (LARGE_BYTES / size_max.max(1)).max(1),
        )))
    }
}

/// In place of a number of bytes: what comes is a body.
const BODY: usize = usize::MAX;

/// How far one connection is with its present head.
#[derive(Clone, Debug, Default)]
pub struct HeadProgress(Arc<HeadState>);

#[derive(Debug, Default)]
struct HeadState {
    /// Read so far, or [`BODY`].
    read: AtomicUsize,
    /// Of a large head; a usual one has none, and takes no lock.
    room: Mutex<Option<OwnedSemaphorePermit>>,
}

impl HeadProgress {
    /// A head is whole; what comes now is the body, or the next head.
    pub fn is_whole(&self, has_body: bool) {
        if self.read() >= USUAL_BYTES {
            *self.0.room.lock() = None;
        }
        self.set_read(if has_body { BODY } else { 0 });
    }

    /// What comes now is a head.
    pub fn begins(&self) {
        self.is_whole(false);
    }

    fn read(&self) -> usize {
        self.0.read.load(Ordering::Relaxed)
    }

    fn set_read(&self, bytes: usize) {
        self.0.read.store(bytes, Ordering::Relaxed);
    }
}

type RoomWait = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

pub struct HeadStream<S> {
    inner: S,
    progress: HeadProgress,
    room: HeadRoom,
    waiting: Option<RoomWait>,
}

impl<S> HeadStream<S> {
    pub fn new(inner: S, progress: HeadProgress, room: HeadRoom) -> Self {
        Self {
            inner,
            progress,
            room,
            waiting: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = this.progress.read();
        if read == BODY {
            return Pin::new(&mut this.inner).poll_read(cx, into);
        }
        if read >= USUAL_BYTES && this.progress.0.room.lock().is_none() {
            let room = &this.room.0;
            let waiting = this
                .waiting
                .get_or_insert_with(|| Box::pin(Arc::clone(room).acquire_owned()));
            // It is never closed.
            let found = ready!(waiting.as_mut().poll(cx));
            this.waiting = None;
            *this.progress.0.room.lock() = found.ok();
        }
        let most = into.remaining().min(PIECE_BYTES);
        let bytes = ready!(PIECE.with_borrow_mut(|room| {
            let mut piece = ReadBuf::new(&mut room[..most]);
            let read = Pin::new(&mut this.inner).poll_read(cx, &mut piece);
            into.put_slice(piece.filled());
            read.map_ok(|()| piece.filled().len())
        }))?;
        this.progress.set_read(read + bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is read from now on is thrown away: no head, which would wait for room.
        self.progress.is_whole(true);
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    async fn read(stream: &mut HeadStream<DuplexStream>) -> usize {
        let mut total = 0;
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(read) = timeout(Duration::from_secs(1), stream.read(&mut bytes)).await {
            total += read.unwrap();
        }
        total
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_head_waits_for_room_and_a_small_one_or_a_body_does_not() {
        let room = HeadRoom::new(LARGE_BYTES);
        let opened = [(); 4].map(|()| {
            let (ours, theirs) = duplex(64 * 1024);
            let progress = HeadProgress::default();
            (
                HeadStream::new(ours, progress.clone(), room.clone()),
                theirs,
                progress,
            )
        });
        let [
            (mut one, mut of_one, ends),
            (mut two, mut of_two, _),
            (mut body, mut of_body, whole),
            (mut ended, mut of_ended, _),
        ] = opened;
        for client in [&mut of_one, &mut of_two, &mut of_body, &mut of_ended] {
            client.write_all(&[b'x'; 20_000]).await.unwrap();
        }
        whole.is_whole(true);
        assert_eq!(read(&mut one).await, 20_000);
        assert_eq!(
            read(&mut two).await,
            USUAL_BYTES,
            "there is room for one large head"
        );
        assert_eq!(read(&mut ended).await, USUAL_BYTES);
        ended.shutdown().await.unwrap();
        assert_eq!(
            read(&mut ended).await,
            20_000 - USUAL_BYTES,
            "what comes behind the last answer is no head"
        );
        assert_eq!(read(&mut body).await, 20_000);
        ends.is_whole(false);
        assert_eq!(
            read(&mut two).await,
            20_000 - USUAL_BYTES,
            "and then for another"
        );
        of_one.write_all(&[b'x'; 1000]).await.unwrap();
        assert_eq!(read(&mut one).await, 1000, "the next head is counted anew");
    }
}
