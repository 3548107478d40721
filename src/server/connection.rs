//! One connection, from its first byte to its end: TLS where it is spoken, then HTTP/1.1 or HTTP/2.
//!
//! `http1::Builder` and `http2::Builder` directly, with their timers: hyper's guard against slow heads is off without one,
//! and its automatic builder waits for the first bytes without end. HTTP/2 is what ALPN has agreed on, and never spoken
//! without TLS. Must not know what is asked.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::ServerLimits;
use super::activity::{Activity, Over, Patience, Verdict, WatchedBody};
use super::body::ReplyBody;
use super::clients::ClientAddress;
use super::connection_counts::TurnedAway;
use super::lingering::LingeringStream;
use super::patience::PatientStream;
use super::reply::{self, Refusal};
use super::shutdown::Shutdown;
use super::stream::{First, Stream};
use crate::clock;

/// For one connection's reading and writing, each: the largest request head, and the largest piece of an upload.
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

/// After a stop was asked for, a connection that was accepted before has so long for its first byte: it may be under way.
/// The same for the rest of its first head, and for a TLS client's.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A connection that has served is kept for so long after a stop was asked for: the next request may be under way, and gets an
/// answer that says it is the last.
const NEXT_CALL: Duration = Duration::from_millis(200);

/// How every TLS connection begins: a record of the handshake.
const TLS_HANDSHAKE: u8 = 22;

/// Marks a request that came over TLS.
#[derive(Clone, Copy)]
pub(super) struct OverTls;

/// What one connection is served with.
pub(super) struct Connection<F> {
    pub answer: F,
    pub shutdown: Shutdown,
    pub limits: ServerLimits,
    pub client: Option<ClientAddress>,
    /// Of all connections together, for their requests over HTTP/2: as many as there may be connections, so that what a
    /// request takes is bounded alike over both protocols.
    pub streams: Arc<Semaphore>,
}

impl<F, A> Connection<F>
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<ReplyBody>> + Send + 'static,
{
    /// Serves a client that may not be silent for long; with an acceptor, one that must speak TLS.
    ///
    /// # Errors
    /// Why there was nothing to serve.
    pub(super) async fn serve(self, stream: Stream, tls: Option<TlsAcceptor>) -> Result<(), TurnedAway> {
        let first = match self.first_byte(&stream).await {
            First::Byte(first) => first,
            First::End => return Ok(()),
            First::Silence if self.shutdown.has_begun() => return Ok(()),
            First::Silence => return Err(TurnedAway::Silent),
        };
        let Some(tls) = tls else {
            self.http1(stream).await;
            return Ok(());
        };
        if first != TLS_HANDSHAKE {
            let told = |_| async { reply::rejection(&Refusal::Plaintext) };
            let Self { shutdown, limits, streams, .. } = self;
            let connection = Connection { answer: told, shutdown, limits, client: None, streams };
            connection.http1(stream).await;
            return Err(TurnedAway::Tls);
        }
        // Under the TLS, so that the handshake is watched too.
        let stream = PatientStream::new(stream, self.limits.write_timeout.0);
        let stream = match timeout(self.limits.handshake_timeout.0, tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => {
                tracing::debug!(%why, "a TLS handshake failed");
                return Err(TurnedAway::Tls);
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                return Err(TurnedAway::Tls);
            }
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream).await;
        } else {
            self.http1_watched(stream, true).await;
        }
        Ok(())
    }

    /// Without a hurry, and without TLS.
    pub(super) async fn http1(self, stream: Stream) {
        let stream = PatientStream::new(stream, self.limits.write_timeout.0);
        self.http1_watched(stream, false).await;
    }

    async fn first_byte(&self, stream: &Stream) -> First {
        tokio::select! {
            biased;
            first = stream.first_byte(self.limits.first_byte_timeout.0) => first,
            () = self.shutdown.begun() => stream.first_byte(LAST_CALL).await,
        }
    }

    async fn http1_watched(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        over_tls: bool,
    ) {
        let Self { answer, shutdown, limits, client, .. } = self;
        let has_asked = Arc::new(AtomicBool::new(false));
        let may_be_sending = Arc::new(AtomicBool::new(false));
        let (asked, sends, stop) = (Arc::clone(&has_asked), Arc::clone(&may_be_sending), shutdown.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            note(&mut request, client, over_tls);
            asked.store(true, Ordering::Relaxed);
            sends.store(!request.body().is_end_stream(), Ordering::Relaxed);
            let (answer, stop) = (answer(request), stop.clone());
            async move {
                let mut response = answer.await;
                if stop.has_begun() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout.0)
            .max_header_size(limits.header_size.bytes())
            .max_buf_size(BUFFER_BYTES.max(limits.header_size.bytes()))
            .serve_connection(TokioIo::new(LingeringStream::if_sending(stream, may_be_sending)), service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = shutdown.begun() => {
                // hyper's own goodbye closes a connection that waits for a head, whatever its client has just sent.
                let last = if has_asked.load(Ordering::Relaxed) { NEXT_CALL } else { LAST_CALL };
                if let Ok(served) = timeout(last, connection.as_mut()).await {
                    served
                } else {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        told(served);
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { answer, shutdown, limits, client, streams: room } = self;
        let activity = Activity::new(clock::now());
        let streams = activity.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            note(&mut request, client, true);
            origin_form(&mut request);
            let guard = streams.begin();
            // hyper keeps the room of this future until the body has ended: on the heap it can be given back before.
            let (answer, room) = (Box::pin(answer(request)), Arc::clone(&room));
            async move {
                let Some(room) = find_room(room, limits.queue_timeout.0).await else {
                    return Ok(
                        reply::rejection(&Refusal::Crowded).map(|body| WatchedBody::new(body, guard, None))
                    );
                };
                let answer = answer.await;
                Ok::<_, Infallible>(
                    answer.map(|body| WatchedBody::new(body.in_small_pieces(), guard, Some(room))),
                )
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(limits.header_size.0).unwrap_or(u32::MAX))
            .max_send_buf_size(STREAM_BUFFER_BYTES)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PONG_TIMEOUT)
            .serve_connection(TokioIo::new(LingeringStream::new(stream)), service);
        let mut connection = std::pin::pin!(connection);
        let patience = Patience { idle: limits.header_timeout.0, stall: limits.write_timeout.0 };
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = shutdown.begun() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    served = connection => served,
                    _ = over(&activity, patience) => return tracing::debug!("a client stopped reading"),
                }
            }
            over = over(&activity, patience) => {
                connection.as_mut().graceful_shutdown();
                // What was sent last may still be on its way to a slow client. Whoever never asked has nothing to take, and
                // whoever takes nothing has had his time.
                let in_vain = matches!(over, Over::Stalled) || activity.is_fresh();
                let last = if in_vain { FAREWELL } else { limits.write_timeout.0 };
                let Ok(served) = timeout(last, connection).await else { return };
                served
            }
        };
        told(served);
    }
}

/// Returns when a connection has been idle, or its client has taken nothing, for too long.
async fn over(activity: &Activity, patience: Patience) -> Over {
    loop {
        match activity.verdict(patience, clock::now()) {
            Verdict::FineUntil(until) => sleep_until(until.into()).await,
            Verdict::Over(over) => return over,
        }
    }
}

async fn find_room(room: Arc<Semaphore>, limit: Duration) -> Option<OwnedSemaphorePermit> {
    timeout(limit, room.acquire_owned()).await.ok()?.ok()
}

/// Tells the handler whose request it is.
fn note(request: &mut Request<Incoming>, client: Option<ClientAddress>, over_tls: bool) {
    if over_tls {
        request.extensions_mut().insert(OverTls);
    }
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
}

/// HTTP/2 splits a URL into fields; what is asked of larder is its path, as over HTTP/1.1, and its authority stands in place
/// of `Host` (RFC 9113 §8.3.1). A request without a path stays as it is and is refused.
fn origin_form(request: &mut Request<Incoming>) {
    let authority = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(authority)) = authority {
        request.headers_mut().insert(header::HOST, authority);
    }
    if let Some(path) = request.uri().path_and_query().cloned()
        && request.method() != http::Method::CONNECT
    {
        *request.uri_mut() = Uri::from(path);
    }
}

fn told(served: hyper::Result<()>) {
    if let Err(why) = served {
        tracing::debug!(%why, "a connection ended early");
    }
}
