//! A connection that is closed without loss: after the last byte it is only half closed, and what
//! the client still sends is read and thrown away until it closes too, or a moment has passed (RFC
//! 9112 §9.6).
//!
//! To close a socket with unread bytes resets it, and a reset takes from the client what it has not
//! read yet. Over HTTP/2 there are such bytes at nearly every end: the window updates for the last
//! frames; over HTTP/1.1 after a body that was not wanted. Must not know what is said over it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// For the client to close too.
const LINGER: Duration = Duration::from_secs(1);

/// Of what is thrown away, at a time.
const SINK_BYTES: usize = 4 * 1024;

/// A stream that lingers when it is shut down.
pub struct LingeringStream<S> {
    inner: S,
    /// Whether the client may be sending still.
    may_be_sending: Arc<AtomicBool>,
    /// Once our side is closed.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> LingeringStream<S> {
    pub fn new(inner: S) -> Self {
        Self::if_sending(inner, Arc::new(AtomicBool::new(true)))
    }

    /// It lingers only if this is set by then.
    pub fn if_sending(inner: S, may_be_sending: Arc<AtomicBool>) -> Self {
        Self {
            inner,
            may_be_sending,
            until: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringStream<S> {
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
        let this = &mut *self;
        let until = match &mut this.until {
            Some(until) => until,
            None => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                if !this.may_be_sending.load(Ordering::Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                this.until.insert(Box::pin(sleep(LINGER)))
            }
        };
        // Asked before the reads, which spend what this task may do at a time: a client that never
        // pauses is left too.
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut sink = [0; SINK_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut sink);
            match Pin::new(&mut this.inner).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                // Its end, good or bad.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_client_or_after_a_moment_and_reads_meanwhile() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = LingeringStream::new(ours);
        ours.write_all(b"last").await.unwrap();
        let client = async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"last");
            // More than fits between the two: the stream reads it.
            theirs.write_all(&[0; 1000]).await.unwrap();
        };
        let both = async { tokio::join!(ours.shutdown(), client) };
        timeout(Duration::from_millis(1), both)
            .await
            .unwrap()
            .0
            .unwrap();

        let (ours, theirs) = duplex(64);
        #[expect(clippy::disallowed_methods, reason = "the clock stands still")]
        let begun = Instant::now();
        LingeringStream::new(ours).shutdown().await.unwrap();
        assert_eq!(begun.elapsed(), LINGER);
        drop(theirs);

        let (ours, _theirs) = duplex(64);
        LingeringStream::if_sending(ours, Arc::default())
            .shutdown()
            .await
            .unwrap();
        assert_eq!(
            begun.elapsed(),
            LINGER,
            "a client that has sent all of it is not waited for"
        );
    }
}
