//! An upstream body that is not waited for without end.
//!
//! Owns the idle timer: it runs between pieces, never over the whole, because a 2 GB wheel on a
//! slow line is legal. Must not know what the bytes are.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::counts::{PeerFault, PeerStats};
use super::shared_store::{ObjectBody, ObjectBodyError};
use crate::values::clock;

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("upstream sent nothing for {}", humantime::format_duration(*.0))]
    Stalled(Duration),
    #[error("upstream broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("upstream's body is larger than {0} bytes")]
    TooLarge(u64),
    #[error(transparent)]
    Object(#[from] ObjectBodyError),
}

/// Where the bytes come from.
#[derive(Debug)]
enum BodySource {
    Network(Incoming),
    Object(ObjectBody),
}

impl BodySource {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Network(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
            Self::Object(body) => match ready!(body.poll_piece(cx)) {
                Some(Ok(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                Some(Err(why)) => Poll::Ready(Some(Err(why.into()))),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Network(body) => body.is_end_stream(),
            Self::Object(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Network(body) => body.size_hint(),
            Self::Object(_) => SizeHint::default(),
        }
    }
}

/// An incoming body with an idle limit.
#[derive(Debug)]
pub struct IdleBody {
    /// What was waited for in advance.
    first: Option<Bytes>,
    /// Comes to its end first.
    inner: Option<BodySource>,
    /// What is here already, and how much has to come before it; no more and no less.
    after: Option<(u64, Bytes)>,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    counts: Arc<PeerStats>,
}

impl IdleBody {
    pub(super) fn new(inner: Incoming, limit: Duration, counts: Arc<PeerStats>) -> Self {
        Self::of_source(BodySource::Network(inner), limit, counts)
    }

    /// The bytes of an object of the shared store.
    pub(super) fn of_object(body: ObjectBody, limit: Duration, counts: Arc<PeerStats>) -> Self {
        Self::of_source(BodySource::Object(body), limit, counts)
    }

    fn of_source(inner: BodySource, limit: Duration, counts: Arc<PeerStats>) -> Self {
        Self {
            first: None,
            inner: Some(inner),
            after: None,
            limit,
            timer: Box::pin(sleep(limit)),
            counts,
        }
    }

    /// Waits for the first bytes, and keeps them: what breaks before can still be told in place of
    /// a head. False if there are none.
    ///
    /// # Errors
    /// When upstream stalls or breaks off.
    pub async fn begin(&mut self) -> Result<bool, BodyError> {
        if self.first.is_none() {
            self.first = self.piece().await?;
        }
        Ok(self.first.is_some())
    }

    /// The same body of `length` bytes, of which none has been taken, and then these, which came
    /// before it.
    pub(super) fn followed_by(self, length: u64, bytes: Bytes) -> Self {
        Self {
            after: Some((length, bytes)),
            ..self
        }
    }

    /// A body that is here already.
    pub fn of(bytes: Bytes) -> Self {
        let limit = Duration::ZERO;
        Self {
            first: None,
            inner: None,
            after: Some((0, bytes)),
            limit,
            timer: Box::pin(sleep(limit)),
            counts: Arc::default(),
        }
    }

    /// What follows a body that has ended, if it was as long as was told.
    fn following(&mut self) -> Option<Frame<Bytes>> {
        self.inner = None;
        let (missing, bytes) = self.after.take()?;
        if missing != 0 || bytes.is_empty() {
            return None;
        }
        Some(Frame::data(bytes))
    }

    /// Reads everything, up to a limit in bytes.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] past the limit; never a short body.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut whole = bytes::BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > bytes_max {
                return Err(BodyError::TooLarge(bytes_max as u64));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next bytes, or `None` after a clean end.
    ///
    /// # Errors
    /// When upstream stalls or breaks off.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            match std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {
                None => return Ok(None),
                Some(Err(why)) => return Err(why),
                Some(Ok(frame)) => {
                    // Trailers carry nothing we use.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

impl Body for IdleBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(this.following().map(Ok));
        };
        match inner.poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(this.following().map(Ok)),
            Poll::Ready(frame) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "tokio's timers want tokio's clock"
                )]
                this.timer.as_mut().reset(Instant::now() + this.limit);
                match &frame {
                    Some(Ok(frame)) => {
                        let length = frame.data_ref().map_or(0, Bytes::len);
                        this.counts.received(length);
                        if let Some((missing, _)) = &mut this.after {
                            // One that is longer than was told is followed by nothing.
                            *missing = missing.checked_sub(length as u64).unwrap_or(u64::MAX);
                        }
                    }
                    Some(Err(_)) => this.counts.failed(PeerFault::Broken, clock::now()),
                    None => {}
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                ready!(this.timer.as_mut().poll(cx));
                this.counts.failed(PeerFault::Stalled, clock::now());
                Poll::Ready(Some(Err(BodyError::Stalled(this.limit))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_over = || self.inner.as_ref().is_none_or(BodySource::is_end_stream);
        self.first.is_none() && self.after.is_none() && is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.first, &self.after, &self.inner) {
            (Some(_), _, _) => SizeHint::default(),
            (None, Some((missing, bytes)), _) => {
                SizeHint::with_exact(missing.saturating_add(bytes.len() as u64))
            }
            (None, None, Some(inner)) => inner.size_hint(),
            (None, None, None) => SizeHint::with_exact(0),
        }
    }
}
