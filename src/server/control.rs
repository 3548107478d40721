//! What is served over the control socket: everything that is served over TCP, and the orders, which are nowhere else.
//!
//! The socket's mode is the check: it and the folder belong to the user who runs the daemon, and the kernel lets nobody
//! else connect, so that the peer's credentials (`SO_PEERCRED`) would say nothing new. Owns which name leads to whom, and
//! how an order's events become a body. Must not know what an order means.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::admission::NoPlace;
use super::body::ReplyBody;
use super::reply::{self, Refusal, Reply};
use super::services::Services;
use super::shutdown::Shutdown;
use crate::airgap::{CONTENT, Export, Feed, Import, Pieces, WriteSet, feed};
use crate::control::{
    About, CONTROL_PATH, End, FlushAuthorizations, FlushedAuthorizations, Gc, Gone, Identity, Line,
    LogLevelNow, Ls, Order, Purge, Refresh, Reporter, SetLogLevel, Stats, Verify, reporter,
};
use crate::log::LogLevel;
use crate::registry::RouteError;
use crate::store::ReadEnd;
use crate::values::clock;
use crate::values::digest::Digest;
use crate::values::request_id::RequestId;
use crate::values::version::version;

/// The largest order; what carries more is a stream.
const ORDER_BYTES_MAX: usize = 64 << 10;

/// For the next piece of a stream.
const STREAM_IDLE: Duration = Duration::from_secs(600);

/// Pieces of a blob that wait for a slow client.
const CONTENT_PIECES_MAX: usize = 8;

pub(super) async fn handle(
    services: Arc<Services>,
    request: Request<Incoming>,
    shutdown: &Shutdown,
) -> Response<ReplyBody> {
    let Some(name) = request
        .uri()
        .path()
        .strip_prefix(CONTROL_PATH)
        .map(str::to_owned)
    else {
        return services.handle(request).await;
    };
    let id = RequestId::random();
    tracing::info!(order = name, %id, "an order over the control socket");
    let obeyed = match *request.method() {
        _ if request.extensions().get::<NoPlace>().is_some() => Err(Refusal::TooManyRequests),
        Method::POST => obey(&services, &name, request, shutdown).await,
        _ => Err(Refusal::Route(RouteError::Method("POST"))),
    };
    let (mut response, status) = obeyed.unwrap_or_else(|why| reply::refusal(&why, &id));
    reply::finish(&mut response, status, false, &id);
    response
}

/// Which order is obeyed by whom.
async fn obey(
    services: &Arc<Services>,
    name: &str,
    request: Request<Incoming>,
    shutdown: &Shutdown,
) -> Result<Reply, Refusal> {
    let (head, body) = request.into_parts();
    let upkeep = Arc::clone(&services.upkeep);
    match name {
        Stats::NAME => {
            let Stats {} = read(body).await?;
            Ok(blocking::<Stats, _>(shutdown, move |out| upkeep.stats(out)))
        }
        Ls::NAME => {
            let order: Ls = read(body).await?;
            Ok(blocking::<Ls, _>(shutdown, move |out| {
                upkeep.ls(&order, out)
            }))
        }
        Verify::NAME => {
            let Verify {} = read(body).await?;
            Ok(blocking::<Verify, _>(shutdown, move |out| {
                upkeep.verify(out)
            }))
        }
        Gc::NAME => {
            let order: Gc = read(body).await?;
            let now = clock::wall();
            Ok(blocking::<Gc, _>(shutdown, move |out| {
                upkeep.gc(order, now, out)
            }))
        }
        Purge::NAME => {
            let order: Purge = read(body).await?;
            Ok(blocking::<Purge, _>(shutdown, move |out| {
                upkeep.purge(&order, out)
            }))
        }
        About::NAME => {
            let About {} = read(body).await?;
            Ok(blocking::<About, _>(shutdown, move |out| {
                out.tell(identity())
            }))
        }
        FlushAuthorizations::NAME => {
            let FlushAuthorizations {} = read(body).await?;
            let access = Arc::clone(&services.access);
            Ok(blocking::<FlushAuthorizations, _>(shutdown, move |out| {
                let authorizations = access.revoke_all(clock::now());
                tracing::warn!(
                    authorizations,
                    "the authorization cache was flushed: every caller's next request asks GitLab"
                );
                out.tell(FlushedAuthorizations { authorizations })
            }))
        }
        SetLogLevel::NAME => {
            let order: SetLogLevel = read(body).await?;
            Ok(blocking::<SetLogLevel, _>(shutdown, move |out| {
                out.tell(set_log_level(&order)?).map_err(Failed::of)
            }))
        }
        Refresh::NAME => {
            let order: Refresh = read(body).await?;
            let caller = services.access.caller(&head.headers, None, clock::now());
            let caller = caller.await?;
            let (out, lines) = reporter();
            #[expect(
                clippy::disallowed_methods,
                reason = "ends with the order's answer, or the daemon"
            )]
            let work = tokio::spawn(async move { end(upkeep.refresh(order, &caller, &out).await) });
            Ok(reply::events(ReplyBody::stream(EventBody::new(
                lines, work, shutdown,
            ))))
        }
        Export::NAME => {
            let (exchange, order) = (Arc::clone(&services.exchange), read::<Export>(body).await?);
            Ok(blocking::<Export, _>(shutdown, move |out| {
                exchange.export(&order, out)
            }))
        }
        Import::NAME => {
            let exchange = Arc::clone(&services.exchange);
            Ok(streaming::<Import, _>(
                shutdown,
                body,
                move |order, bundle, out| {
                    let told = exchange
                        .import(order, bundle, || out.is_wanted())
                        .map_err(Failed::of)?;
                    out.tell(told).map_err(Failed::of)
                },
            ))
        }
        WriteSet::NAME => {
            let exchange = Arc::clone(&services.exchange);
            Ok(streaming::<WriteSet, _>(
                shutdown,
                body,
                move |order, mut files, out| {
                    let told = exchange.write_set(&order, &mut files).map_err(Failed::of)?;
                    out.tell(told).map_err(Failed::of)
                },
            ))
        }
        name => match name.strip_prefix(CONTENT).and_then(Digest::parse) {
            Some(digest) => Ok(content(services, digest)),
            None => Err(Refusal::Route(RouteError::Unknown)),
        },
    }
}

fn identity() -> Identity {
    Identity {
        version: version(),
        process: std::process::id(),
    }
}

fn set_log_level(order: &SetLogLevel) -> Result<LogLevelNow, Failed> {
    let log = LogLevel::of_process().ok_or_else(|| Failed::of("this process does not log"))?;
    if let Some(level) = &order.level {
        log.set(level).map_err(Failed)?;
    }
    log.present()
        .map(|level| LogLevelNow { level })
        .map_err(Failed)
}

/// Why an order was not carried out, in one sentence.
struct Failed(String);

impl Failed {
    fn of(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Has an order carried out whose body goes on behind its first line, on a blocking thread.
fn streaming<O: Order, W: std::fmt::Display>(
    shutdown: &Shutdown,
    body: Incoming,
    work: impl FnOnce(O, Feed, &Reporter<O::Event>) -> Result<(), W> + Send + 'static,
) -> Reply {
    let (pieces, mut stream) = feed();
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the body, the order or the daemon"
    )]
    tokio::spawn(pass_on(body, pieces, shutdown.clone()));
    blocking::<O, _>(shutdown, move |out| {
        let first = stream.line(ORDER_BYTES_MAX).map_err(Failed::of)?;
        let order = serde_json::from_slice(&first).map_err(Failed::of)?;
        work(order, stream, out).map_err(Failed::of)
    })
}

/// Hands a body over as it comes. One that stalls, breaks off or outlives the daemon has no end.
async fn pass_on(mut body: Incoming, pieces: Pieces, shutdown: Shutdown) {
    let stop = std::pin::pin!(async move { shutdown.begun().await });
    let all = async {
        loop {
            let piece = match tokio::time::timeout(STREAM_IDLE, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(_))) | Err(_) => return,
            };
            // Once the order has failed the rest is read and dropped, so that its sender comes to read why.
            if !piece.is_empty() {
                let _ = pieces.send(Ok(piece)).await;
            }
        }
        // Nobody may be left to hear of the end.
        let _ = pieces.send(Ok(Bytes::new())).await;
    };
    tokio::select! {
        () = all => {}
        () = stop => {}
    }
}

/// A blob's bytes, cut when they turn out to be wrong.
fn content(services: &Services, digest: Digest) -> Reply {
    let exchange = Arc::clone(&services.exchange);
    let (pieces, out) = mpsc::channel(CONTENT_PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let read = exchange.content(digest, |chunk| {
            pieces.blocking_send(Ok(chunk.into())).is_ok()
        });
        if !matches!(read, Ok(ReadEnd::Whole)) {
            // Who has gone need not hear it.
            let _ = pieces.blocking_send(Err(Gone));
        }
    });
    reply::events(ReplyBody::stream(Content(out)))
}

/// A blob on its way out.
struct Content(mpsc::Receiver<Result<Bytes, Gone>>);

impl Body for Content {
    type Data = Bytes;
    type Error = Gone;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Gone>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// The order in a request's body.
async fn read<O: Order>(body: Incoming) -> Result<O, Refusal> {
    let body = Limited::new(body, ORDER_BYTES_MAX).collect().await;
    let body = body
        .map_err(|why| Refusal::Command(why.to_string()))?
        .to_bytes();
    serde_json::from_slice(&body).map_err(|why| Refusal::Command(why.to_string()))
}

/// Has an order carried out on a blocking thread; its events are the answer.
fn blocking<O: Order, W: std::fmt::Display>(
    shutdown: &Shutdown,
    work: impl FnOnce(&Reporter<O::Event>) -> Result<(), W> + Send + 'static,
) -> Reply {
    let (out, lines) = reporter();
    let work = tokio::task::spawn_blocking(move || end(work(&out)));
    reply::events(ReplyBody::stream(EventBody::new(lines, work, shutdown)))
}

fn end<W: std::fmt::Display>(worked: Result<(), W>) -> End {
    worked.map_or_else(|why| End::Failed(why.to_string()), |()| End::Done)
}

/// The lines of an order that is being carried out. Dropped, because the client is gone, it ends the order: a task at
/// its next wait, a blocking thread when it next asks whether it is wanted.
struct EventBody {
    lines: mpsc::Receiver<Bytes>,
    work: JoinHandle<End>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
}

impl EventBody {
    fn new(lines: mpsc::Receiver<Bytes>, work: JoinHandle<End>, shutdown: &Shutdown) -> Self {
        let shutdown = shutdown.clone();
        Self {
            lines,
            work,
            stop: Box::pin(async move { shutdown.begun().await }),
            ended: false,
        }
    }

    fn last(&mut self, end: End) -> Option<Result<Frame<Bytes>, serde_json::Error>> {
        self.ended = true;
        self.lines.close();
        Some(serde_json::to_vec(&Line::<()>::End(end)).map(|mut line| {
            line.push(b'\n');
            Frame::data(line.into())
        }))
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = serde_json::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, serde_json::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.last(End::Stopped));
        }
        if let Some(line) = ready!(self.lines.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(Frame::data(line))));
        }
        let end = ready!(Pin::new(&mut self.work).poll(cx));
        let end = end.unwrap_or_else(|why| End::Failed(format!("the daemon failed at it: {why}")));
        Poll::Ready(self.last(end))
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        self.work.abort();
    }
}
