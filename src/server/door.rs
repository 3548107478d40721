//! Where connections come from: the network, or the control socket in the cache folder.
//!
//! Must not know what is said over them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;

use crate::store::ControlSocket;

/// After so long without traffic, TCP asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

pub trait Door: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Waits for a client's first byte, and says whether it came within the limit.
    fn first_byte(stream: &Self::Stream, limit: Duration) -> impl Future<Output = bool> + Send;
}

/// An address of this machine.
pub struct NetworkDoor(TcpListener);

impl NetworkDoor {
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(address: &str) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(address).await?))
    }

    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Door for NetworkDoor {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept().await?;
        // Small answers must not wait for a full packet, and a peer that is gone must not hold its slot. A socket that
        // refuses either is about to fail anyway.
        let _ = stream.set_nodelay(true);
        let _ = set_socket_keepalive(&stream, true).and_then(|()| set_tcp_keepidle(&stream, KEEPALIVE_IDLE));
        Ok(stream)
    }

    async fn first_byte(stream: &TcpStream, limit: Duration) -> bool {
        // Not `readable()`: it may say yes, and on a fresh socket does, when there is nothing yet.
        matches!(timeout(limit, stream.peek(&mut [0])).await, Ok(Ok(1)))
    }
}

/// The control socket; it is removed with this.
pub struct ControlDoor {
    listener: UnixListener,
    socket: ControlSocket,
}

impl ControlDoor {
    /// Only for the holder of the folder's lock, and to be dropped before the lock.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bind(cache_dir: &Path) -> io::Result<Self> {
        let socket = ControlSocket::of(cache_dir)?;
        Ok(Self { listener: UnixListener::from_std(socket.listen()?)?, socket })
    }
}

impl Door for ControlDoor {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    /// Who holds a connection open here is the folder's owner; silence ends with the limit on a request's head.
    async fn first_byte(_: &UnixStream, _: Duration) -> bool {
        true
    }
}

impl Drop for ControlDoor {
    fn drop(&mut self) {
        if let Err(why) = self.socket.remove() {
            tracing::debug!(%why, "cannot remove the control socket");
        }
    }
}
