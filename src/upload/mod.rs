//! Uploads: passed on byte for byte, once, and then the pages are no longer fresh.
//!
//! larder does not look into an upload, so it can never disagree with GitLab about one. A client
//! that waits to be asked for its body (`Expect: 100-continue`) waits for GitLab's word, not for
//! larder's: a refused body never sets out. It is read by a task of its own: it feeds upstream, and
//! when upstream answers before the end (a 401, a 413), it goes on reading and discarding for a
//! while, because a client that is cut while it sends may never read the answer. Must not know
//! multipart, and must not store anything.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::{EXPECT, HeaderMap, HeaderValue, LOCATION};
use http::request::Parts;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::access::Credential;
use crate::index::Pages;
use crate::registry::{Bases, Route, Scope};
use crate::upstream::{Outgoing, PassThrough, Upstream, UpstreamError, upload_headers};
use crate::values::clock;
use crate::values::correlation;
use crate::values::error_chain::BoxError;

/// Pieces of a body between the client and upstream.
const PIECES_IN_HAND: usize = 4;

/// How long the rest of a body is read and thrown away after upstream has answered.
const LINGER: Duration = Duration::from_secs(30);

/// How long GitLab may think before a client that waits to be asked for its body is asked all the
/// same: not every server says 100 (RFC 9110 §10.1.1).
const ASK_AFTER: Duration = Duration::from_secs(1);

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
    path_prefix: String,
}

impl Uploads {
    /// `idle` is the longest a client may pause within its body; `path_prefix` stands before every
    /// address of ours.
    pub fn new(
        upstream: Arc<Upstream>,
        pages: Arc<Pages>,
        idle: Duration,
        path_prefix: String,
    ) -> Self {
        Self {
            upstream,
            pages,
            idle,
            path_prefix,
        }
    }

    /// Sends an upload on and hands back GitLab's answer as it is.
    ///
    /// # Errors
    /// When there is no answer; the file may have been stored all the same, so the pages count as changed.
    pub async fn pass_on<B>(
        &self,
        scope: Scope,
        credential: &Credential,
        head: &Parts,
        body: B,
    ) -> Result<PassThrough, UploadError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let route = Route::Upload { scope };
        let (pieces, incoming) = mpsc::channel(PIECES_IN_HAND);
        let whole = Arc::new(AtomicBool::new(false));
        let fault = Arc::new(OnceLock::new());
        // Dropped with the answer, or with the client.
        let (_answering, answered) = oneshot::channel();
        let mut outgoing = Outgoing {
            headers: upload_headers(&head.headers),
            body: ClientBody {
                incoming,
                size: body.size_hint(),
                whole: Arc::clone(&whole),
            },
            wanted: Arc::new(Notify::new()),
        };
        if waits_to_be_asked(head, &body) {
            let expected = HeaderValue::from_static("100-continue");
            outgoing.headers.insert(EXPECT, expected);
        } else {
            outgoing.wanted.notify_one();
        }
        let outlet = BodyFeed {
            pieces,
            whole,
            wanted: Arc::clone(&outgoing.wanted),
            answered,
            fault: Arc::clone(&fault),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it goes on reading after the answer; bounded by LINGER"
        )]
        tokio::spawn(correlation::carried(feed(body, outlet, self.idle)));
        let mut change = ChangeGuard {
            pages: &self.pages,
            changed: true,
        };
        let answer = Box::pin(self.upstream.upload(&route, credential, outgoing)).await;
        if let Ok(answer) = &answer {
            let status = answer.status;
            change.changed = !(status.is_client_error() || status.is_redirection());
        }
        let mut answer = answer.map_err(|why| unanswered(why, &fault))?;
        if let Some(asked) = self.upstream.url(&route) {
            let bases = self.upstream.bases();
            lead_here(&mut answer.headers, &asked, bases, &self.path_prefix);
        }
        Ok(answer)
    }
}

/// Why an upload has no answer. A body that the client broke off breaks the request upstream, which
/// is not upstream's fault.
fn unanswered(why: UpstreamError, fault: &OnceLock<UploadError>) -> UploadError {
    match (why, fault.get()) {
        (UpstreamError::Offline, _) => UploadError::Offline,
        (_, Some(fault)) => fault.clone(),
        (why, None) => why.into(),
    }
}

/// An expectation means something with a body only, and nothing in HTTP/1.0 (RFC 9110 §10.1.1).
fn waits_to_be_asked(head: &Parts, body: &impl Body) -> bool {
    let Some(expected) = head.headers.get(EXPECT) else {
        return false;
    };
    let expects = expected.as_bytes().eq_ignore_ascii_case(b"100-continue");
    expects && head.version >= Version::HTTP_11 && !body.is_end_stream()
}

/// Where GitLab sends the client on to an address of its own that is one of larder's too, it is
/// larder's that is meant: the client may not reach GitLab, and what it does there larder would not
/// see. Any other `Location` stays.
fn lead_here(headers: &mut HeaderMap, asked: &Url, bases: &Bases, path_prefix: &str) {
    let resolve = Url::options().base_url(Some(asked));
    let Some(location) = headers.get(LOCATION) else {
        return;
    };
    let Ok(location) = location.to_str() else {
        return;
    };
    let Ok(target) = resolve.parse(location) else {
        return;
    };
    let Some(path) = bases.shared_path(&target) else {
        return;
    };
    let prefix = path_prefix.trim_end_matches('/');
    let tail = &target[url::Position::AfterPath..];
    if let Ok(location) = HeaderValue::try_from(format!("{prefix}{path}{tail}")) {
        headers.insert(LOCATION, location);
    }
}

/// Makes the pages count as changed when it is dropped: also when the
/// client has left and no longer waits for the answer. GitLab may have the file by then.
struct ChangeGuard<'a> {
    pages: &'a Pages,
    changed: bool,
}

impl Drop for ChangeGuard<'_> {
    fn drop(&mut self) {
        if self.changed {
            self.pages.changed_upstream(clock::now());
        }
    }
}

/// The feeding side of an upload.
struct BodyFeed {
    pieces: mpsc::Sender<Result<Bytes, BoxError>>,
    /// Set when the body has come to its own end.
    whole: Arc<AtomicBool>,
    /// Told when the body may be asked for.
    wanted: Arc<Notify>,
    /// Ends when the answer came, or the client left.
    answered: oneshot::Receiver<()>,
    fault: Arc<OnceLock<UploadError>>,
}

/// Reads the client's body to its end once upstream wants it, also after upstream has answered.
async fn feed<B>(mut body: B, mut outlet: BodyFeed, idle: Duration)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    // To read is to ask: the client is told 100 by it.
    tokio::select! {
        biased;
        () = outlet.wanted.notified() => {}
        // A body that upstream never asked for need not be read to its end.
        _ = &mut outlet.answered => return,
        () = sleep(ASK_AFTER) => {}
    }
    while let Some(piece) = next(&mut body, idle).await {
        let broken = piece.is_err();
        if let Err(why) = &piece {
            // The first fault is the last: the loop ends with it.
            let _ = outlet.fault.set(why.clone());
        }
        // A connection to a GitLab that takes nothing keeps its end of the channel also when it was
        // given up.
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
                tracing::debug!(error = %why, "an upload broke off");
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
struct ClientBody {
    incoming: mpsc::Receiver<Result<Bytes, BoxError>>,
    size: SizeHint,
    /// Without this mark the end of the pieces is no end of the body: half a file must not look
    /// like one.
    whole: Arc<AtomicBool>,
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = ready!(self.incoming.poll_recv(cx));
        Poll::Ready(match piece {
            None if !self.whole.load(Ordering::Acquire) => {
                Some(Err("the upload was given up".into()))
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Base;

    #[test]
    fn gitlabs_own_addresses_lead_here_and_others_stay() {
        let [asked, other] = ["http://127.0.0.1:8080/gitlab", "https://gitlab.example"]
            .map(|base| Base::parse(base).unwrap());
        let upload = "/api/v4/projects/42/packages/pypi";
        let url = Url::parse(&format!("{asked}{upload}")).unwrap();
        let bases = Bases::new(asked, vec![other]);
        let led = |location: &str| {
            let mut headers =
                HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(location).unwrap())]);
            lead_here(&mut headers, &url, &bases, "/larder/");
            headers[LOCATION].to_str().unwrap().to_owned()
        };
        for (location, leads) in [
            (
                "http://127.0.0.1:8080/gitlab/api/v4/projects/43/packages/pypi",
                "/larder/api/v4/projects/43/packages/pypi",
            ),
            (
                "https://gitlab.example/api/v4/projects/a%2Fb/packages/pypi?x=1#y",
                "/larder/api/v4/projects/a%2Fb/packages/pypi?x=1#y",
            ),
            (
                "/gitlab/api/v4/projects/43/packages/pypi",
                "/larder/api/v4/projects/43/packages/pypi",
            ),
            (
                "pypi/simple/demo",
                "/larder/api/v4/projects/42/packages/pypi/simple/demo",
            ),
        ] {
            assert_eq!(led(location), leads);
        }
        for stays in [
            "https://gitlab.example/users/sign_in",
            "https://gitlab.example/pypi/simple/demo/",
            "https://gitlab.example/-/health/live",
            "https://gitlab.example:8443/api/v4/projects/43/packages/pypi",
            "https://sso.example/api/v4/projects/43/packages/pypi",
            "//sso.example/login",
            "http://[",
        ] {
            assert_eq!(led(stays), stays);
        }
    }
}
