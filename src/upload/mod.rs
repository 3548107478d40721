//! Uploads: passed on byte for byte, once, and then the pages are no longer fresh.
//!
//! larder does not look into an upload, so it can never disagree with GitLab about one. The client's body is read by a
//! task of its own: it feeds upstream, and when upstream answers before the end (a 401, a 413), it goes on reading and
//! discarding for a while, because a client that is cut while it sends may never read the answer. Must not know
//! multipart, and must not store anything.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::access::Credential;
use crate::clock;
use crate::index::Pages;
use crate::registry::{Route, Scope};
use crate::upstream::{Relayed, Upstream, UpstreamError, upload_headers};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Pieces of a body between the client and upstream.
const PIECES_IN_HAND: usize = 4;

/// How long the rest of a body is read and thrown away after upstream has answered.
const LINGER: Duration = Duration::from_secs(30);

/// Why an upload has no answer of GitLab's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the upload paused for longer than {}", humantime::format_duration(*.0))]
    Paused(Duration),
    #[error("the upload broke off")]
    BrokeOff,
    #[error("larder is offline: nothing can be published")]
    Offline,
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

pub struct Uploads {
    upstream: Arc<Upstream>,
    pages: Arc<Pages>,
    idle: Duration,
}

impl Uploads {
    /// `idle` is the longest a client may pause within its body.
    pub fn new(upstream: Arc<Upstream>, pages: Arc<Pages>, idle: Duration) -> Self {
        Self { upstream, pages, idle }
    }

    /// Sends an upload on and hands back GitLab's answer as it is.
    ///
    /// # Errors
    /// When there is no answer; the file may have been stored all the same, so the pages count as changed.
    pub async fn pass_on<B>(
        &self,
        scope: Scope,
        credential: &Credential,
        headers: &HeaderMap,
        body: B,
    ) -> Result<Relayed, UploadError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let route = Route::Upload { scope };
        let (pieces, incoming) = mpsc::channel(PIECES_IN_HAND);
        let (whole, fault) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::new()));
        let passing = Passing { incoming, size: body.size_hint(), whole: Arc::clone(&whole) };
        // Dropped with the answer, or with the client.
        let (_answering, answered) = oneshot::channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "it goes on reading after the answer; bounded by LINGER"
        )]
        tokio::spawn(feed(body, Outlet { pieces, whole, answered, fault: Arc::clone(&fault) }, self.idle));
        let mut doubt = Doubt { pages: &self.pages, changed: true };
        let answer = self.upstream.upload(&route, credential, upload_headers(headers), passing).await;
        let untouched = answer
            .as_ref()
            .is_ok_and(|answer| answer.status.is_client_error() || answer.status.is_redirection());
        doubt.changed = !untouched;
        // A body that the client broke off breaks the request upstream, which is not upstream's fault.
        answer.map_err(|why| match why {
            UpstreamError::Offline => UploadError::Offline,
            why => fault.get().cloned().unwrap_or_else(|| why.into()),
        })
    }
}

/// Makes the pages count as changed when it is dropped: also when nobody waits for the answer any more, because the
/// client has left. GitLab may have the file by then.
struct Doubt<'a> {
    pages: &'a Pages,
    changed: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.changed {
            self.pages.changed_upstream(clock::now());
        }
    }
}

/// The feeding side of an upload.
struct Outlet {
    pieces: mpsc::Sender<Result<Bytes, BoxError>>,
    /// Set when the body has come to its own end.
    whole: Arc<AtomicBool>,
    /// Ends when nobody waits for upstream any more.
    answered: oneshot::Receiver<()>,
    fault: Arc<OnceLock<UploadError>>,
}

/// Reads the client's body to its end, whoever still wants it.
async fn feed<B>(mut body: B, mut outlet: Outlet, idle: Duration)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    while let Some(piece) = next(&mut body, idle).await {
        let broken = piece.is_err();
        if let Err(why) = &piece {
            // The first fault is the last: the loop ends with it.
            let _ = outlet.fault.set(why.clone());
        }
        // A connection to a GitLab that takes nothing keeps its end of the channel also when it was given up.
        let wanted = tokio::select! {
            sent = outlet.pieces.send(piece.map_err(BoxError::from)) => sent.is_ok(),
            _ = &mut outlet.answered => false,
        };
        if !wanted {
            let rest = async { while let Some(Ok(_)) = next(&mut body, idle).await {} };
            // Whether or not the rest came in time, the answer is on its way.
            let _ = timeout(LINGER, rest).await;
            return;
        }
        if broken {
            return;
        }
    }
    outlet.whole.store(true, Ordering::Release);
}

async fn next<B>(body: &mut B, idle: Duration) -> Option<Result<Bytes, UploadError>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    loop {
        match timeout(idle, body.frame()).await {
            Err(_) => return Some(Err(UploadError::Paused(idle))),
            Ok(None) => return None,
            Ok(Some(Err(why))) => {
                let why: BoxError = why.into();
                tracing::debug!(%why, "an upload broke off");
                return Some(Err(UploadError::BrokeOff));
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    return Some(Ok(bytes));
                }
            }
        }
    }
}

/// The client's body as upstream's client reads it: same bytes, same length if one was announced.
struct Passing {
    incoming: mpsc::Receiver<Result<Bytes, BoxError>>,
    size: SizeHint,
    /// Without this mark the end of the pieces is no end of the body: half a file must not look like one.
    whole: Arc<AtomicBool>,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = ready!(self.incoming.poll_recv(cx));
        Poll::Ready(match piece {
            None if !self.whole.load(Ordering::Acquire) => Some(Err("the upload was given up".into())),
            piece => piece.map(|piece| piece.map(Frame::data)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }

    fn is_end_stream(&self) -> bool {
        self.size.exact() == Some(0)
    }
}
