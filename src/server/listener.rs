//! Connections: accepted up to a limit, served by HTTP/1.1, and drained when the daemon stops.
//!
//! `http1::Builder` directly, with its timer: hyper's guard against slow heads is off without one, and its automatic
//! builder waits for the first bytes without end. Must not know what is asked.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::patience::PatientStream;
use super::{ServerLimits, Services};

/// A pause after a failed accept: with no file descriptor left, spinning helps nobody.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After so long without traffic, TCP asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// For one connection's reading and writing, each: the largest request head, and the largest piece of an upload.
const BUFFER_BYTES: usize = 64 * 1024;

pub struct Listener {
    socket: TcpListener,
    limits: ServerLimits,
}

/// Tells a listener to stop.
#[derive(Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    async fn begun(&self) {
        // The sender lives in self: waiting can only end well.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

impl Listener {
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(address: &str, limits: ServerLimits) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, limits })
    }

    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until told to stop, then until the last connection is done or the drain limit is over.
    pub async fn serve(self, services: Arc<Services>, shutdown: Shutdown) {
        let limits = self.limits;
        let slots = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
        loop {
            let accepted = tokio::select! {
                () = shutdown.begun() => break,
                accepted = accept(&self.socket, &slots) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let (services, shutdown) = (Arc::clone(&services), shutdown.clone());
                    #[expect(clippy::disallowed_methods, reason = "its slot is what the drain waits for")]
                    tokio::spawn(async move {
                        connection(stream, services, shutdown, limits).await;
                        drop(slot);
                    });
                }
                Err(why) => {
                    tracing::warn!(%why, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
        if timeout(limits.drain_timeout.0, slots.acquire_many(all)).await.is_err() {
            tracing::warn!("stopping with connections still open: the drain limit is over");
        }
    }
}

async fn accept(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, services: Arc<Services>, shutdown: Shutdown, limits: ServerLimits) {
    // Small answers must not wait for a full packet, and a peer that is gone must not hold its slot. A socket that
    // refuses either is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let _ = set_socket_keepalive(&stream, true).and_then(|()| set_tcp_keepidle(&stream, KEEPALIVE_IDLE));
    // Not `readable()`: it may say yes, and on a fresh socket does, when there is nothing yet.
    let mut first = [0];
    tokio::select! {
        first = timeout(limits.first_byte_timeout.0, stream.peek(&mut first)) => {
            if !matches!(first, Ok(Ok(1))) {
                return;
            }
        }
        () = shutdown.begun() => return,
    }
    let service = service_fn(move |request| {
        let services = Arc::clone(&services);
        async move { Ok::<_, Infallible>(services.handle(request).await) }
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
