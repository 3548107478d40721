//! Where connections come from: the network's addresses, or the control socket in the cache folder.
//!
//! Owns the listening sockets, whether they were opened here or passed on by a service manager.
//! Must not know what is said over them.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_nodelay};
use tokio::net::{TcpListener, TcpSocket, UnixListener, lookup_host};
use tokio_rustls::TlsAcceptor;

use super::activation::{PassedSockets, Socket};
use super::address::{Addresses, ListenAddress};
use super::socket_mode::SocketMode;
use super::stream::ClientStream;
use super::unix_socket::{self, SocketFile};
use crate::server::tls::Certificates;
use crate::store::ControlSocket;

/// After so long without traffic, TCP asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Connections that wait to be accepted; the system may allow fewer (`net.core.somaxconn`). A client
/// beyond them waits for seconds until its system tries again, so a herd of runners must fit in.
const BACKLOG: u32 = 4096;

/// A connection that was accepted.
pub struct Arrival {
    pub stream: ClientStream,
    /// Whose it is, as far as the network tells; none over a unix socket.
    pub ip: Option<IpAddr>,
    /// There if it must speak TLS.
    pub tls: Option<TlsAcceptor>,
}

pub trait Acceptor: Send + Sync + 'static {
    /// Whether a client may hold a connection open without a byte only so long as
    /// `limits.first_byte_timeout`.
    const HURRIES: bool;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>>;
}

/// The next connection. Nothing is lost when the future is dropped.
pub async fn accept(acceptor: &impl Acceptor) -> io::Result<Arrival> {
    poll_fn(|cx| acceptor.poll_accept(cx)).await
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}: {why}{}", forbidden(.why))]
    Address { address: String, why: io::Error },
    #[error(
        "a socket named \"tls\" was passed on, but there is no certificate: set tls.certificate and tls.key"
    )]
    NoCertificate,
}

/// What an operator can do about an address that was forbidden, not taken; one below 1024 without
/// the right to it is another error.
fn forbidden(why: &io::Error) -> &'static str {
    if why.raw_os_error() == Some(Errno::PERM.raw_os_error()) {
        "; the unit of a service manager may forbid it: add the port to SocketBindAllow="
    } else {
        ""
    }
}

/// What the network's acceptor is to open.
pub struct ListenConfig<'a> {
    pub listen: &'a Addresses,
    /// Of the unix sockets.
    pub mode: SocketMode,
    /// Further addresses, which speak TLS.
    pub tls: &'a Addresses,
    pub certificates: Option<&'a Certificates>,
    /// If there are any, they stand in place of all addresses; those named `tls` speak TLS.
    pub passed: PassedSockets,
}

/// All addresses where clients come in.
pub struct NetworkAcceptor {
    entrances: Vec<Entrance>,
    were_passed: bool,
    /// Who is asked first, in turns, so that a busy address does not starve the others.
    turn: AtomicUsize,
}

struct Entrance {
    address: ListenAddress,
    listening: ListeningSocket,
    tls: Option<TlsAcceptor>,
    /// Held, to be removed with this.
    _file: Option<SocketFile>,
}

enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl NetworkAcceptor {
    /// Opens what is configured; sockets that were passed on stand in place of that.
    ///
    /// # Errors
    /// When one of them cannot be listened on, or should speak TLS and there is no certificate.
    pub async fn open(opening: ListenConfig<'_>) -> Result<Self, ListenError> {
        let acceptor = || {
            opening
                .certificates
                .map(Certificates::acceptor)
                .ok_or(ListenError::NoCertificate)
        };
        let mut entrances = Vec::new();
        let were_passed = !opening.passed.is_empty();
        if !were_passed {
            let plain = opening.listen.iter().map(|address| (address, false));
            for (address, speaks_tls) in
                plain.chain(opening.tls.iter().map(|address| (address, true)))
            {
                let tls = speaks_tls.then(acceptor).transpose()?;
                let refused = |why| ListenError::Address {
                    address: address.to_string(),
                    why,
                };
                entrances.push(
                    Entrance::open(address, opening.mode, tls)
                        .await
                        .map_err(refused)?,
                );
            }
        }
        for passed in opening.passed.into_sockets() {
            let tls = passed.is_tls().then(acceptor).transpose()?;
            let refused = |why| {
                let address = format!("the socket \"{}\" of LISTEN_FDS", passed.name);
                ListenError::Address { address, why }
            };
            entrances.push(Entrance::adopt(passed.socket, tls).map_err(refused)?);
        }
        Ok(Self {
            entrances,
            were_passed,
            turn: AtomicUsize::new(0),
        })
    }

    /// Where it is open, each with the port it was given.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.entrances.iter().map(|entrance| &entrance.address)
    }

    /// Whether sockets that were passed on stand in place of this address.
    pub fn stands_aside(&self, address: &ListenAddress) -> bool {
        self.were_passed && !self.addresses().any(|opened| opened == address)
    }

    /// The first that speaks HTTP over TCP.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.entrances
            .iter()
            .find_map(|entrance| match &entrance.listening {
                ListeningSocket::Tcp(listener) if entrance.tls.is_none() => {
                    listener.local_addr().ok()
                }
                _ => None,
            })
    }

    /// All addresses as URLs, or `unix:` and a path; first what most clients can use.
    pub fn urls(&self) -> Vec<String> {
        let mut entrances: Vec<&Entrance> = self.entrances.iter().collect();
        entrances.sort_by_key(|entrance| (!entrance.address.is_tcp(), entrance.tls.is_some()));
        entrances.into_iter().map(Entrance::url).collect()
    }
}

impl Entrance {
    async fn open(
        address: &ListenAddress,
        mode: SocketMode,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(name) => Self::tcp(bind(name).await?, tls),
            ListenAddress::Unix(path) => {
                let (listener, file) = unix_socket::open(path, mode)?;
                let listening = ListeningSocket::Unix(listener);
                Ok(Self {
                    address: address.clone(),
                    listening,
                    tls,
                    _file: Some(file),
                })
            }
        }
    }

    /// A socket that a service manager opened, and whose file is its own.
    fn adopt(socket: Socket, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        match socket {
            Socket::Tcp(listener) => Self::tcp(TcpListener::from_std(listener)?, tls),
            Socket::Unix(listener) => {
                let path = listener
                    .local_addr()?
                    .as_pathname()
                    .map(Path::to_owned)
                    .unwrap_or_default();
                let listening = ListeningSocket::Unix(UnixListener::from_std(listener)?);
                Ok(Self {
                    address: ListenAddress::Unix(path),
                    listening,
                    tls,
                    _file: None,
                })
            }
        }
    }

    fn tcp(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        set_options(&listener)?;
        let address = ListenAddress::Tcp(listener.local_addr()?.to_string());
        Ok(Self {
            address,
            listening: ListeningSocket::Tcp(listener),
            tls,
            _file: None,
        })
    }

    fn url(&self) -> String {
        match &self.address {
            ListenAddress::Tcp(address) if self.tls.is_some() => format!("https://{address}"),
            ListenAddress::Tcp(address) => format!("http://{address}"),
            unix @ ListenAddress::Unix(_) => unix.to_string(),
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        let tls = self.tls.clone();
        match &self.listening {
            ListeningSocket::Tcp(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, from)| Arrival {
                    stream: ClientStream::Tcp(stream),
                    ip: Some(from.ip()),
                    tls,
                })
            }
            ListeningSocket::Unix(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, _)| Arrival {
                    stream: ClientStream::Unix(stream),
                    ip: None,
                    tls,
                })
            }
        }
    }
}

/// Listens on the first address of this name that can be had.
async fn bind(name: &str) -> io::Result<TcpListener> {
    let mut why = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host(name).await? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(refused) => why = refused,
        }
    }
    Err(why)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As `TcpListener::bind` does: a restart need not wait for connections of the run before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Acceptor for NetworkAcceptor {
    const HURRIES: bool = true;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.entrances.len().max(1);
        let (later, sooner) = self.entrances.split_at(turn);
        let ready = sooner
            .iter()
            .chain(later)
            .map(|entrance| entrance.poll_accept(cx))
            .find(Poll::is_ready);
        ready.unwrap_or(Poll::Pending)
    }
}

/// Small answers must not wait for a full packet, and a peer that is gone must not hold its slot.
/// Connections have these options from the socket that they come in by (tcp(7), accept(2)): to set
/// them for each would take three system calls.
fn set_options(listener: &TcpListener) -> io::Result<()> {
    set_tcp_nodelay(listener, true)?;
    set_socket_keepalive(listener, true)?;
    set_tcp_keepidle(listener, KEEPALIVE_IDLE)?;
    Ok(())
}

/// The control socket; it is removed with this.
pub struct ControlAcceptor {
    listener: UnixListener,
    socket: ControlSocket,
}

impl ControlAcceptor {
    /// Only for the holder of the folder's lock, and to be dropped before the lock.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bind(cache_dir: &Path) -> io::Result<Self> {
        let socket = ControlSocket::of(cache_dir)?;
        Ok(Self {
            listener: UnixListener::from_std(socket.listen()?)?,
            socket,
        })
    }
}

impl Acceptor for ControlAcceptor {
    /// Who holds a connection open here is the folder's owner; silence ends with the limit on a
    /// request's head.
    const HURRIES: bool = false;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        self.listener.poll_accept(cx).map_ok(|(stream, _)| Arrival {
            stream: ClientStream::Unix(stream),
            ip: None,
            tls: None,
        })
    }
}

impl Drop for ControlAcceptor {
    fn drop(&mut self) {
        if let Err(why) = self.socket.remove() {
            tracing::debug!(error = %why, "cannot remove the control socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{socket_keepalive, tcp_keepidle, tcp_nodelay};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn connections_have_the_options_of_their_listener() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let entrance = Entrance::tcp(listener, None).unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let arrival = poll_fn(|cx| entrance.poll_accept(cx)).await.unwrap();
        let ClientStream::Tcp(stream) = arrival.stream else {
            panic!("it came over TCP");
        };
        assert_eq!(tcp_nodelay(&stream), Ok(true));
        assert_eq!(socket_keepalive(&stream), Ok(true));
        assert_eq!(tcp_keepidle(&stream), Ok(KEEPALIVE_IDLE));
    }

    #[test]
    fn an_address_that_was_forbidden_is_told_apart_from_one_that_is_taken() {
        let told = |errno: Errno| {
            ListenError::Address {
                address: "[::]:8443".to_owned(),
                why: errno.into(),
            }
            .to_string()
        };
        assert!(told(Errno::PERM).ends_with("add the port to SocketBindAllow="));
        for other in [Errno::ACCESS, Errno::ADDRINUSE] {
            assert!(!told(other).contains("SocketBindAllow"), "{}", told(other));
        }
    }
}
