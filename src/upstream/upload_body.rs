//! An upload's body on its way out, and whose turn it is.
//!
//! The client may take its time: the server limits its pauses. Upstream may take its time as well,
//! but not for ever, neither to accept the next piece nor to answer after the last. Must not know
//! what the bytes are.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// An upload as it leaves the house.
pub struct Outgoing<B> {
    /// Those of the client's that go on.
    pub headers: HeaderMap,
    pub body: B,
    /// Told when upstream says that it will have the body (100; RFC 9110 §10.1.1).
    pub wanted: Arc<Notify>,
}

/// Who is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Client,
    Upstream,
}

/// A body that tells whenever a piece of it goes out.
pub(super) struct UploadBody<B> {
    inner: B,
    turn: watch::Sender<Turn>,
}

impl<B> UploadBody<B> {
    pub(super) fn new(inner: B) -> (Self, UploadStall) {
        let (turn, seen) = watch::channel(Turn::Upstream);
        (Self { inner, turn }, UploadStall(seen))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for UploadBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        self.turn.send_replace(if frame.is_pending() {
            Turn::Client
        } else {
            Turn::Upstream
        });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Watches a [`UploadBody`] body.
pub(super) struct UploadStall(watch::Receiver<Turn>);

impl UploadStall {
    /// Returns when upstream has been waited for without a break for so long.
    pub(super) async fn runs_out(mut self, limit: Duration) {
        loop {
            let turn = *self.0.borrow_and_update();
            let moved = match turn {
                Turn::Client => self.0.changed().await,
                Turn::Upstream => match timeout(limit, self.0.changed()).await {
                    Ok(moved) => moved,
                    Err(_) => return,
                },
            };
            if moved.is_err() {
                // All of it is out: only the answer is missing.
                return sleep(limit).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);

    /// A body fed by hand.
    struct Fed(mpsc::Receiver<Bytes>);

    impl Body for Fed {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_upstreams_silence_counts() -> Result<(), Box<dyn std::error::Error>> {
        let (feed, fed) = mpsc::channel(1);
        let (mut body, stall) = UploadBody::new(Fed(fed));
        let mut out = Box::pin(stall.runs_out(LIMIT));
        let long = LIMIT * 9 / 10;
        for _ in 0..3 {
            // Upstream wants more, and the client pauses: only the client is late.
            assert!(timeout(LIMIT, body.frame()).await.is_err());
            assert!(timeout(LIMIT * 3, &mut out).await.is_err());
            feed.send(Bytes::from_static(b"piece")).await?;
            assert!(body.frame().await.is_some());
            assert!(timeout(long, &mut out).await.is_err());
        }
        drop(body);
        assert!(timeout(long, &mut out).await.is_err());
        assert!(timeout(LIMIT, &mut out).await.is_ok());
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_takes_no_more_is_given_up() {
        let (_feed, fed) = mpsc::channel(1);
        let (_body, stall) = UploadBody::new(Fed(fed));
        assert!(timeout(LIMIT * 2, stall.runs_out(LIMIT)).await.is_ok());
    }
}
