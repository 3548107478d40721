//! Connections: accepted up to a limit, served by HTTP/1.1, and drained when the daemon stops.
//!
//! `http1::Builder` directly, with its timer: hyper's guard against slow heads is off without one, and its automatic
//! builder waits for the first bytes without end. Must not know what is asked.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::ServerLimits;
use super::body::ReplyBody;
use super::control;
use super::door::{ControlDoor, Door, NetworkDoor};
use super::handler::Services;
use super::patience::PatientStream;
use super::shutdown::Shutdown;

/// A pause after a failed accept: with no file descriptor left, spinning helps nobody.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// For one connection's reading and writing, each: the largest request head, and the largest piece of an upload.
const BUFFER_BYTES: usize = 64 * 1024;

/// One place where clients come in.
pub struct Listener<D> {
    door: D,
    limits: ServerLimits,
    slots: Arc<Semaphore>,
}

/// Tells how many connections of a listener are open.
#[derive(Clone)]
pub struct Occupancy {
    slots: Arc<Semaphore>,
    all: usize,
}

impl Occupancy {
    /// Whether nobody is connected. The slot that the listener holds ready for the next client does not count.
    pub fn is_idle(&self) -> bool {
        self.slots.available_permits() + 1 >= self.all
    }
}

impl<D: Door> Listener<D> {
    pub fn new(door: D, limits: ServerLimits) -> Self {
        Self { door, limits, slots: Arc::new(Semaphore::new(slots(limits))) }
    }

    pub fn occupancy(&self) -> Occupancy {
        Occupancy { slots: Arc::clone(&self.slots), all: slots(self.limits) }
    }

    /// Accepts until told to stop, and returns when the last connection is done or the drain limit is over.
    async fn accept_all<F, A>(self, shutdown: Shutdown, answer: F)
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<ReplyBody>> + Send + 'static,
    {
        let limits = self.limits;
        loop {
            let accepted = tokio::select! {
                () = shutdown.begun() => break,
                accepted = accept(&self.door, &self.slots) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let (answer, shutdown) = (answer.clone(), shutdown.clone());
                    #[expect(clippy::disallowed_methods, reason = "its slot is what the drain waits for")]
                    tokio::spawn(async move {
                        let begun = tokio::select! {
                            begun = D::first_byte(&stream, limits.first_byte_timeout.0) => begun,
                            () = shutdown.begun() => false,
                        };
                        if begun {
                            connection(stream, answer, shutdown, limits).await;
                        }
                        drop(slot);
                    });
                }
                Err(why) => {
                    tracing::warn!(%why, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.door);
        let all = u32::try_from(slots(limits)).unwrap_or(u32::MAX);
        if timeout(limits.drain_timeout.0, self.slots.acquire_many(all)).await.is_err() {
            tracing::warn!("stopping with connections still open: the drain limit is over");
        }
    }
}

impl Listener<NetworkDoor> {
    /// Serves until told to stop, then until the last connection is done or the drain limit is over.
    pub async fn serve(self, services: Arc<Services>, shutdown: Shutdown) {
        let answer = move |request| {
            let services = Arc::clone(&services);
            async move { services.handle(request).await }
        };
        self.accept_all(shutdown, answer).await;
    }
}

impl Listener<ControlDoor> {
    /// The same, with orders.
    pub async fn serve(self, services: Arc<Services>, shutdown: Shutdown) {
        let stop = shutdown.clone();
        let answer = move |request| {
            let (services, stop) = (Arc::clone(&services), stop.clone());
            async move { control::handle(services, request, &stop).await }
        };
        self.accept_all(shutdown, answer).await;
    }
}

fn slots(limits: ServerLimits) -> usize {
    limits.connections.clamp(1, Semaphore::MAX_PERMITS)
}

async fn accept<D: Door>(door: &D, slots: &Arc<Semaphore>) -> io::Result<(D::Stream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    Ok((door.accept().await?, slot))
}

async fn connection<S, F, A>(stream: S, answer: F, shutdown: Shutdown, limits: ServerLimits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<ReplyBody>>,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout.0)
        .max_header_size(limits.header_size.bytes())
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(PatientStream::new(stream, limits.write_timeout.0)), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = served {
        tracing::debug!(%why, "a connection ended early");
    }
}
