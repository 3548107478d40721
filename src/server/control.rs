//! What is served over the control socket: everything that is served over TCP, and the commands,
//! which are nowhere else.
//!
//! The socket's mode is the check: it and the folder belong to the user who runs the daemon, and
//! the kernel lets no other user connect, so that the peer's credentials (`SO_PEERCRED`) would say
//! nothing new. Owns which name leads to which part of the daemon, and how a command's events
//! become a body. Must not know what a command means.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::body::ReplyBody;
use super::ingress::Ingress;
use super::reply::{self, Refusal, Reply};
use super::services::Services;
use crate::access::Access;
use crate::admin::Maintenance;
use crate::airgap::{BodySender, BundleService, CONTENT, Export, Feed, Import, WriteSet, feed};
use crate::control::{
    About, CONTROL_PATH, Command, ConfigurationInForce, End, FlushAuthorizations,
    FlushedAuthorizations, Gc, Gone, Identity, Line, LogLevelNow, Ls, Purge, Refresh, Reporter,
    SetLogLevel, Share, ShowConfiguration, Stats, Verify, reporter,
};
use crate::log::LogLevel;
use crate::registry::RouteError;
use crate::store::ReadEnd;
use crate::values::clock;
use crate::values::correlation::{self, Correlation};
use crate::values::digest::Digest;
use crate::values::request_id::RequestId;
use crate::values::shutdown::Shutdown;
use crate::values::version::version;

/// The largest command; what carries more is a stream.
const COMMAND_BYTES_MAX: usize = 64 << 10;

/// For the next piece of a stream.
const STREAM_IDLE: Duration = Duration::from_secs(600);

/// Pieces of a blob that wait for a slow client.
const CONTENT_PIECES_MAX: usize = 8;

pub(super) async fn handle(
    services: Arc<Services>,
    request: Request<Incoming>,
    ingress: Ingress,
    shutdown: &Shutdown,
) -> Response<ReplyBody> {
    let Some(name) = request
        .uri()
        .path()
        .strip_prefix(CONTROL_PATH)
        .map(str::to_owned)
    else {
        return services.handle(request, ingress).await;
    };
    let id = RequestId::random();
    tracing::debug!(order = name, %id, "an order over the control socket");
    let answered = match *request.method() {
        _ if ingress.has_no_place => Err(Refusal::TooManyRequests),
        Method::POST => {
            let work = handle_command(&services, &name, request, shutdown);
            correlation::scope(Correlation::new(id.clone()), work).await
        }
        _ => Err(Refusal::Route(RouteError::Method("POST"))),
    };
    let (mut response, status) = answered.unwrap_or_else(|why| reply::refusal(&why, &id));
    reply::finish(&mut response, status, false, &id);
    response
}

/// Which part of the daemon carries out which command.
async fn handle_command(
    services: &Services,
    name: &str,
    request: Request<Incoming>,
    shutdown: &Shutdown,
) -> Result<Reply, Refusal> {
    let (head, body) = request.into_parts();
    let access = &services.access;
    let maintenance = &services.admin.maintenance;
    let exchange = &services.exchange;
    let call = Call { body, shutdown };
    match name {
        Stats::NAME => {
            let work = |store: &Maintenance, _: Stats, out: &_| store.stats(out);
            call.run(maintenance, work).await
        }
        Ls::NAME => {
            let work = |store: &Maintenance, command: Ls, out: &_| store.ls(&command, out);
            call.run(maintenance, work).await
        }
        Verify::NAME => {
            let work = |store: &Maintenance, _: Verify, out: &_| store.verify(out);
            call.run(maintenance, work).await
        }
        Gc::NAME => {
            let work =
                |store: &Maintenance, command: Gc, out: &_| store.gc(command, clock::wall(), out);
            call.run(maintenance, work).await
        }
        Purge::NAME => {
            let work = |store: &Maintenance, command: Purge, out: &_| store.purge(&command, out);
            call.run(maintenance, work).await
        }
        Refresh::NAME => refresh(services, &head, call).await,
        Share::NAME => share(services, call).await,
        About::NAME => call.run(access, tell_identity).await,
        ShowConfiguration::NAME => {
            let work = |found: &ConfigurationInForce, _: ShowConfiguration, out: &Reporter<_>| {
                out.tell(found.clone())
            };
            call.run(&services.configuration, work).await
        }
        FlushAuthorizations::NAME => call.run(access, flush_authorizations).await,
        SetLogLevel::NAME => call.run(access, set_log_level).await,
        Export::NAME => {
            let work = |exchange: &BundleService, command, out: &_| exchange.export(&command, out);
            call.run(exchange, work).await
        }
        Import::NAME => Ok(import(exchange, call)),
        WriteSet::NAME => Ok(write_set(exchange, call)),
        name => match name.strip_prefix(CONTENT).and_then(Digest::parse) {
            Some(digest) => Ok(content(exchange, digest)),
            None => Err(Refusal::Route(RouteError::Unknown)),
        },
    }
}

/// A command that came, not read yet.
struct Call<'s> {
    body: Incoming,
    shutdown: &'s Shutdown,
}

impl Call<'_> {
    /// Has the command carried out by `part`, on a blocking thread.
    async fn run<P, C, W>(
        self,
        part: &Arc<P>,
        work: impl FnOnce(&P, C, &Reporter<C::Event>) -> Result<(), W> + Send + 'static,
    ) -> Result<Reply, Refusal>
    where
        P: Send + Sync + 'static,
        C: Command + Send + 'static,
        W: std::fmt::Display,
    {
        let command: C = read(self.body).await?;
        let part = Arc::clone(part);
        let work = move |out: &Reporter<C::Event>| work(&part, command, out);
        Ok(blocking::<C, _>(self.shutdown, work))
    }
}

/// Asks GitLab in the name of the operator, whose credential comes with the command.
async fn refresh(services: &Services, head: &Parts, call: Call<'_>) -> Result<Reply, Refusal> {
    let command: Refresh = read(call.body).await?;
    let caller = services.access.caller(&head.headers, None, clock::now());
    let caller = caller.await?;
    let maintenance = Arc::clone(&services.admin.maintenance);
    let (out, lines) = reporter();
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the command's answer, or the daemon"
    )]
    let work = tokio::spawn(correlation::carried(async move {
        end(maintenance.refresh(command, &caller, &out).await)
    }));
    let events = EventBody::new(lines, work, call.shutdown);
    Ok(reply::events(ReplyBody::stream(events)))
}

/// Uploads to the shared store.
async fn share(services: &Services, call: Call<'_>) -> Result<Reply, Refusal> {
    let command: Share = read(call.body).await?;
    let maintenance = Arc::clone(&services.admin.maintenance);
    let (out, lines) = reporter();
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the command's answer, or the daemon"
    )]
    let work = tokio::spawn(correlation::carried(async move {
        end(maintenance.share(command, &out).await)
    }));
    let events = EventBody::new(lines, work, call.shutdown);
    Ok(reply::events(ReplyBody::stream(events)))
}

fn import(exchange: &Arc<BundleService>, call: Call<'_>) -> Reply {
    let exchange = Arc::clone(exchange);
    streaming::<Import, _>(call, move |command, bundle, out| {
        let imported = exchange.import(command, bundle, || out.is_wanted());
        out.tell(imported.map_err(Failed::of)?).map_err(Failed::of)
    })
}

fn write_set(exchange: &Arc<BundleService>, call: Call<'_>) -> Reply {
    let exchange = Arc::clone(exchange);
    streaming::<WriteSet, _>(call, move |command, mut files, out| {
        let written = exchange.write_set(&command, &mut files);
        out.tell(written.map_err(Failed::of)?).map_err(Failed::of)
    })
}

fn flush_authorizations(
    access: &Access,
    _: FlushAuthorizations,
    out: &Reporter<FlushedAuthorizations>,
) -> Result<(), Failed> {
    let authorizations = access.revoke_all(clock::now());
    tracing::warn!(
        authorizations,
        "the authorization cache was flushed: every caller's next request asks GitLab"
    );
    let flushed = FlushedAuthorizations { authorizations };
    out.tell(flushed).map_err(Failed::of)
}

fn tell_identity(_: &Access, _: About, out: &Reporter<Identity>) -> Result<(), Failed> {
    let identity = Identity {
        version: version(),
        process: std::process::id(),
    };
    out.tell(identity).map_err(Failed::of)
}

fn set_log_level(
    _: &Access,
    command: SetLogLevel,
    out: &Reporter<LogLevelNow>,
) -> Result<(), Failed> {
    let log = LogLevel::of_process().ok_or_else(|| Failed::of("this process does not log"))?;
    if let Some(level) = &command.level {
        log.set(level).map_err(Failed)?;
    }
    let level = log.present().map_err(Failed)?;
    out.tell(LogLevelNow { level }).map_err(Failed::of)
}

/// Why a command was not carried out, in one sentence.
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

/// Has a command carried out whose body goes on behind its first line, on a blocking thread.
fn streaming<C: Command, W: std::fmt::Display>(
    call: Call<'_>,
    work: impl FnOnce(C, Feed, &Reporter<C::Event>) -> Result<(), W> + Send + 'static,
) -> Reply {
    let (pieces, mut stream) = feed();
    let passing = pass_on(call.body, pieces, call.shutdown.clone());
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the body, the command or the daemon"
    )]
    tokio::spawn(correlation::carried(passing));
    blocking::<C, _>(call.shutdown, move |out| {
        let first = stream.line(COMMAND_BYTES_MAX).map_err(Failed::of)?;
        let command = serde_json::from_slice(&first).map_err(Failed::of)?;
        work(command, stream, out).map_err(Failed::of)
    })
}

/// Hands a body over as it comes. One that stalls, breaks off or outlives the daemon has no end.
async fn pass_on(mut body: Incoming, pieces: BodySender, shutdown: Shutdown) {
    let stop = std::pin::pin!(async move { shutdown.begun().await });
    let all = async {
        loop {
            let piece = match tokio::time::timeout(STREAM_IDLE, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(_))) | Err(_) => return,
            };
            // Once the command has failed the rest is read and dropped, so that its sender comes to
            // read why.
            if !piece.is_empty() {
                let _ = pieces.send(Ok(piece)).await;
            }
        }
        // The command may have ended already.
        let _ = pieces.send(Ok(Bytes::new())).await;
    };
    tokio::select! {
        () = all => {}
        () = stop => {}
    }
}

/// A blob's bytes, cut when they turn out to be wrong.
fn content(exchange: &Arc<BundleService>, digest: Digest) -> Reply {
    let exchange = Arc::clone(exchange);
    let (pieces, out) = mpsc::channel(CONTENT_PIECES_MAX);
    correlation::spawn_blocking(move || {
        let read = exchange.content(digest, |chunk| {
            pieces.blocking_send(Ok(chunk.into())).is_ok()
        });
        if !matches!(read, Ok(ReadEnd::Whole)) {
            // A client that has gone need not hear it.
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

/// The command in a request's body.
async fn read<C: Command>(body: Incoming) -> Result<C, Refusal> {
    let body = Limited::new(body, COMMAND_BYTES_MAX).collect().await;
    let body = body
        .map_err(|why| Refusal::Command(why.to_string()))?
        .to_bytes();
    serde_json::from_slice(&body).map_err(|why| Refusal::Command(why.to_string()))
}

/// Has a command carried out on a blocking thread; its events are the answer.
fn blocking<C: Command, W: std::fmt::Display>(
    shutdown: &Shutdown,
    work: impl FnOnce(&Reporter<C::Event>) -> Result<(), W> + Send + 'static,
) -> Reply {
    let (out, lines) = reporter();
    let work = correlation::spawn_blocking(move || end(work(&out)));
    reply::events(ReplyBody::stream(EventBody::new(lines, work, shutdown)))
}

fn end<W: std::fmt::Display>(worked: Result<(), W>) -> End {
    worked.map_or_else(|why| End::Failed(why.to_string()), |()| End::Done)
}

/// The lines of a command that is being carried out. Dropped, because the client is gone, it ends
/// the command: a task at its next wait, a blocking thread when it next asks whether it is wanted.
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
