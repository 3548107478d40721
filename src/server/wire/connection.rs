//! One connection, from its first byte to its end: TLS where it is spoken, then HTTP/1.1 or HTTP/2.
//!
//! `http1::Builder` and `http2::Builder` directly, with their timers: hyper's guard against slow
//! heads is off without one, and its automatic builder waits for the first bytes without end.
//! HTTP/2 is what ALPN has agreed on, and never spoken without TLS. Must not know what is asked.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderValue, Request, Response, header};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, IdleLimits, IdleVerdict, TimedOut, WatchedBody};
use super::clients::ClientAddress;
use super::file_stream::FileStream;
use super::head_timer::HeadTimer;
use super::heads::{HeadProgress, HeadRoom, HeadStream};
use super::lingering::LingeringStream;
use super::patience::PatientStream;
use super::places::ConnectionPlace;
use super::stream::{ClientStream, First};
use crate::admin::metrics::{ConnectionCounts, TurnedAway};
use crate::server::ServerLimits;
use crate::server::admission::is_probe_request;
use crate::server::body::ReplyBody;
use crate::server::ingress::Ingress;
use crate::server::piece::FilePieces;
use crate::server::reply::{self, Refusal};
use crate::values::clock;
use crate::values::shutdown::Shutdown;

/// For one connection's reading and writing, each: the largest request head, and the largest piece
/// of an upload.
const BUFFER_BYTES: usize = 64 * 1024;

/// Requests at one time over one HTTP/2 connection; uv asks for 50.
const STREAMS_MAX: u32 = 64;

/// What waits in memory for one stream's client, beside the piece that was read last.
const STREAM_BUFFER_BYTES: usize = 64 * 1024;

/// After so long without a frame an HTTP/2 client is asked whether it is still there.
const PING_AFTER: Duration = Duration::from_secs(30);

/// For its answer.
const PONG_TIMEOUT: Duration = Duration::from_secs(20);

/// For a client that was told to go away without having asked for anything.
const FAREWELL: Duration = Duration::from_secs(2);

/// After a stop was asked for, a connection that was accepted before has so long for its first
/// byte: it may be under way. The same for the rest of its first head, and for a TLS client's.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A connection that has served is kept for so long after a stop was asked for: the next request
/// may be under way, and gets an answer that says it is the last.
const NEXT_CALL: Duration = Duration::from_millis(200);

/// How every TLS connection begins: a record of the handshake.
const TLS_HANDSHAKE: u8 = 22;

/// What one connection is served with.
pub struct Connection<F> {
    pub answer: F,
    pub context: ConnectionContext,
}

/// The same, but for who answers.
pub struct ConnectionContext {
    pub client: Option<ClientAddress>,
    pub limits: ServerLimits,
    pub shutdown: Shutdown,
    pub place: Arc<ConnectionPlace>,
    pub heads: HeadRoom,
    /// Of all connections together, for their requests over HTTP/2: as many as there may be
    /// connections, so that what a request takes is bounded alike over both protocols.
    pub streams: Arc<Semaphore>,
    pub counts: Arc<ConnectionCounts>,
}

impl<F, A> Connection<F>
where
    F: Fn(Request<Incoming>, Ingress) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<ReplyBody>> + Send + 'static,
{
    /// Serves a client that may not be silent for long; with an acceptor, one that must speak TLS.
    /// Counts one that there was nothing to serve to.
    pub async fn serve(self, stream: ClientStream, tls: Option<TlsAcceptor>) {
        let counts = Arc::clone(&self.context.counts);
        let first = match self.context.first_byte(&stream).await {
            First::Byte(first) => first,
            First::End => return,
            First::Silence if self.context.shutdown.has_begun() => return,
            First::Silence => return counts.refused(TurnedAway::Silent),
        };
        let Some(tls) = tls else {
            return self.http1(stream).await;
        };
        if first != TLS_HANDSHAKE {
            let told = |_, _| async { reply::rejection(&Refusal::Plaintext) };
            let connection = Connection {
                answer: told,
                context: ConnectionContext {
                    client: None,
                    ..self.context
                },
            };
            connection.http1(stream).await;
            return counts.refused(TurnedAway::Tls);
        }
        match self.context.handshake(stream, tls).await {
            // Each on the heap, so that no connection takes the room of the other protocol.
            Some(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Box::pin(self.http2(stream)).await;
            }
            Some(stream) => Box::pin(self.http1_watched(stream, None)).await,
            None => counts.refused(TurnedAway::Tls),
        }
    }

    /// Without a hurry, and without TLS.
    pub async fn http1(self, stream: ClientStream) {
        let pieces = Arc::default();
        let stream = FileStream::new(stream, Arc::clone(&pieces));
        let context = &self.context;
        let activity = context.place.activity.clone();
        let stream = PatientStream::new(stream, context.limits.write_timeout.0, activity);
        Box::pin(self.http1_watched(stream, Some(pieces))).await;
    }

    /// `pieces`: the table of a stream that sends pieces of files; none over TLS.
    async fn http1_watched(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        pieces: Option<Arc<FilePieces>>,
    ) {
        let Self { answer, context } = self;
        let limits = context.limits;
        let heads = context.heads.clone();
        let shutdown = context.shutdown.clone();
        let activity = context.place.activity.clone();
        let exchange = Arc::new(Http1Connection {
            context,
            pieces,
            may_be_sending: Arc::default(),
            head: HeadProgress::default(),
        });
        let stream = HeadStream::new(stream, exchange.head.clone(), heads);
        let stream = LingeringStream::if_sending(stream, Arc::clone(&exchange.may_be_sending));
        let service = service_fn(move |request| exchange.answer(request, &answer));
        let connection = http1::Builder::new()
            .timer(HeadTimer::default())
            .header_read_timeout(limits.header_timeout.0)
            .max_header_size(limits.header_size.bytes())
            .max_buf_size(BUFFER_BYTES.max(limits.header_size.bytes()))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let served = match until_end(connection.as_mut(), &shutdown, &activity).await {
            End::Served(served) => served,
            End::Shutdown => {
                // hyper's own goodbye closes a connection that waits for a head, whatever its
                // client has just sent.
                let last = if activity.is_fresh() {
                    LAST_CALL
                } else {
                    NEXT_CALL
                };
                if let Ok(served) = timeout(last, connection.as_mut()).await {
                    served
                } else {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
            End::Wanted => {
                connection.as_mut().graceful_shutdown();
                // The rest of a head may be under way.
                match timeout(NEXT_CALL, connection.as_mut()).await {
                    Ok(served) => served,
                    Err(_) if activity.idle_since().is_some() => return,
                    Err(_) => connection.await,
                }
            }
        };
        told(served);
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { answer, context } = self;
        let limits = context.limits;
        let shutdown = context.shutdown.clone();
        let activity = context.place.activity.clone();
        let context = Arc::new(context);
        let service = service_fn(move |request| context.answer_stream(request, &answer));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(limits.header_size.0).unwrap_or(u32::MAX))
            .max_send_buf_size(STREAM_BUFFER_BYTES)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PONG_TIMEOUT)
            .serve_connection(TokioIo::new(LingeringStream::new(stream)), service);
        let mut connection = pin!(connection);
        let patience = IdleLimits {
            idle: limits.header_timeout.0,
            stall: limits.write_timeout.0,
        };
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = shutdown.begun() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    served = connection => served,
                    _ = over(&activity, patience) => return tracing::debug!("a client stopped reading"),
                }
            }
            why = over(&activity, patience) => {
                connection.as_mut().graceful_shutdown();
                // What was sent last may still be on its way to a slow client. A client that never
                // asked has nothing to take, and one that takes nothing has had its time.
                let in_vain = !matches!(why, TimedOut::Idle) || activity.is_fresh();
                let last = if in_vain { FAREWELL } else { limits.write_timeout.0 };
                match timeout(last, connection.as_mut()).await {
                    Ok(served) => served,
                    Err(_) if matches!(why, TimedOut::Stalled) => return,
                    // A request that was under way is taken until the client has heard the farewell
                    // (RFC 9113 §6.8), and what is taken is answered to its end.
                    Err(_) => tokio::select! {
                        served = connection => served,
                        _ = over(&activity, IdleLimits { idle: last, ..patience }) => return,
                    },
                }
            }
        };
        told(served);
    }
}

impl ConnectionContext {
    async fn first_byte(&self, stream: &ClientStream) -> First {
        tokio::select! {
            biased;
            first = stream.first_byte(self.limits.first_byte_timeout.0) => first,
            () = self.shutdown.begun() => stream.first_byte(LAST_CALL).await,
            () = self.place.activity.has_to_go() => First::End,
        }
    }

    /// None if it failed, or took too long, or its place was wanted. On the heap: the stream has over
    /// a kilobyte, and is handed on several times.
    async fn handshake(
        &self,
        stream: ClientStream,
        tls: TlsAcceptor,
    ) -> Option<Box<TlsStream<PatientStream<ClientStream>>>> {
        // Under the TLS, so that the handshake is watched too.
        let activity = self.place.activity.clone();
        let stream = PatientStream::new(stream, self.limits.write_timeout.0, activity);
        let shaken = tokio::select! {
            biased;
            shaken = timeout(self.limits.handshake_timeout.0, Box::pin(tls.accept(stream))) => shaken,
            () = self.place.activity.has_to_go() => return None,
        };
        match shaken {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            Ok(Err(why)) => tracing::debug!(error = %why, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
        None
    }

    /// Whether a request is answered at once: its connection has a usual place, or it asks how
    /// larder is.
    fn lets_in_at_once(&self, request: &Request<Incoming>) -> bool {
        self.place.is_usual() || is_probe_request(request)
    }

    /// Whether another request may be answered: it waits until its connection has a usual place.
    async fn lets_in(&self) -> bool {
        let is_in = self.place.becomes_usual(self.limits.queue_timeout.0).await;
        if !is_in {
            self.counts.refused(TurnedAway::Crowded);
        }
        is_in
    }

    /// Of a request over this connection.
    fn ingress(&self, over_tls: bool) -> Ingress {
        Ingress {
            client: self.client,
            over_tls,
            ..Ingress::default()
        }
    }

    /// Over HTTP/2.
    fn answer_stream<F, A>(
        self: &Arc<Self>,
        request: Request<Incoming>,
        answer: &F,
    ) -> impl Future<Output = Result<Response<WatchedBody>, Infallible>> + use<F, A>
    where
        F: Fn(Request<Incoming>, Ingress) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<ReplyBody>> + Send + 'static,
    {
        let mut ingress = self.ingress(true);
        let context = Arc::clone(self);
        let answer = answer.clone();
        let guard = self.place.activity.begin();
        async move {
            let is_in = context.lets_in_at_once(&request) || Box::pin(context.lets_in()).await;
            let room = match is_in {
                true => {
                    find_room(Arc::clone(&context.streams), context.limits.queue_timeout.0).await
                }
                false => None,
            };
            ingress.has_no_place = room.is_none();
            // hyper keeps the room of this future until the body has ended: on the heap it can be
            // given back before.
            let response = Box::pin(answer(request, ingress)).await;
            Ok(response.map(|body| WatchedBody::of_stream(body.in_small_pieces(), guard, room)))
        }
    }
}

/// One HTTP/1.1 connection between its stream and its requests.
struct Http1Connection {
    context: ConnectionContext,
    /// None over TLS.
    pieces: Option<Arc<FilePieces>>,
    /// Whether the client may be sending a body still.
    may_be_sending: Arc<AtomicBool>,
    head: HeadProgress,
}

impl Http1Connection {
    fn answer<F, A>(
        self: &Arc<Self>,
        request: Request<Incoming>,
        answer: &F,
    ) -> impl Future<Output = Result<Response<WatchedBody>, Infallible>> + use<F, A>
    where
        F: Fn(Request<Incoming>, Ingress) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<ReplyBody>> + Send + 'static,
    {
        let mut ingress = self.context.ingress(self.pieces.is_none());
        let has_body = !request.body().is_end_stream();
        self.may_be_sending.store(has_body, Ordering::Relaxed);
        self.head.is_whole(has_body);
        let guard = self.context.place.activity.begin();
        let exchange = Arc::clone(self);
        // On the heap: an idle connection must not hold the room that an answer takes.
        let mut waits: Pin<Box<dyn Future<Output = _> + Send>> =
            if self.context.lets_in_at_once(&request) {
                Box::pin(answer(request, ingress))
            } else {
                let exchange = Arc::clone(self);
                let answer = answer.clone();
                Box::pin(async move {
                    ingress.has_no_place = !exchange.context.lets_in().await;
                    answer(request, ingress).await
                })
            };
        // Most answers are ready at once. hyper polls the others as soon as this returns, and looks
        // for what the client sends next before that: with the request's head gone, its buffer is
        // free again, and there need be no other.
        let answered = match waits.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Ok(response),
            Poll::Pending => Err(waits),
        };
        async move {
            let mut response = match answered {
                Ok(response) => response,
                Err(waits) => waits.await,
            };
            let context = &exchange.context;
            exchange.head.begins();
            if context.shutdown.has_begun() || !context.place.is_usual() {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            let body = |body: ReplyBody| match &exchange.pieces {
                Some(pieces) => body.in_file_pieces(pieces),
                None => body,
            };
            Ok(response.map(|answer| WatchedBody::new(body(answer), guard)))
        }
    }
}

/// What a connection over HTTP/1.1 comes to its end by.
enum End {
    Served(hyper::Result<()>),
    Shutdown,
    /// Its place is wanted.
    Wanted,
}

/// Serves a connection until it has ended, or has to.
async fn until_end(
    mut connection: Pin<&mut impl Future<Output = hyper::Result<()>>>,
    shutdown: &Shutdown,
    activity: &Activity,
) -> End {
    // Asked once, it must have noted whom to wake, however much this task has done by then.
    let mut begun = pin!(unconstrained(shutdown.begun()));
    // Knows how to wake this task of both other ends: each request would ask them anew.
    let mut known: Option<Waker> = None;
    poll_fn(|cx| {
        if let Poll::Ready(served) = connection.as_mut().poll(cx) {
            return Poll::Ready(End::Served(served));
        }
        let is_known = known
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()));
        if is_known && !shutdown.has_begun() && !activity.is_told_to_go() {
            return Poll::Pending;
        }
        known = Some(cx.waker().clone());
        if begun.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Shutdown);
        }
        activity.poll_has_to_go(cx).map(|()| End::Wanted)
    })
    .await
}

/// Returns when a connection has been idle, or its client has taken nothing, for too long, or has
/// to make room.
async fn over(activity: &Activity, patience: IdleLimits) -> TimedOut {
    loop {
        match activity.verdict(patience, clock::now()) {
            IdleVerdict::FineUntil(until) => tokio::select! {
                () = sleep_until(until.into()) => {}
                () = activity.has_to_go() => return TimedOut::Wanted,
            },
            IdleVerdict::Over(over) => return over,
        }
    }
}

async fn find_room(room: Arc<Semaphore>, limit: Duration) -> Option<OwnedSemaphorePermit> {
    timeout(limit, room.acquire_owned()).await.ok()?.ok()
}

fn told(served: hyper::Result<()>) {
    if let Err(why) = served {
        tracing::debug!(error = %why, "a connection ended early");
    }
}
