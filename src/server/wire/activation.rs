//! Sockets that a service manager opened and passed on (`LISTEN_FDS`, sd_listen_fds(3)).
//!
//! Owns what is taken of them, and their names. Must not know what is served over them. They are
//! taken before the process has a second thread, because taking them changes the environment.

use std::io;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// The name (`FileDescriptorName=`) of sockets that speak TLS.
pub const TLS: &str = "tls";

/// More than a service has; a mistyped number must not make us look for billions.
const PASSED_MAX: usize = 256;

/// What was passed, in its order; usually nothing.
#[derive(Debug, Default)]
pub struct PassedSockets(Vec<PassedSocket>);

#[derive(Debug)]
pub struct PassedSocket {
    pub socket: Socket,
    pub name: String,
}

#[derive(Debug)]
pub enum Socket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

/// Why what was passed is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    #[error("LISTEN_FDS: {0} sockets were passed, which is more than {PASSED_MAX}")]
    Many(usize),
    #[error(
        "LISTEN_FDS: socket {number} (\"{name}\"): {why}; larder takes listening stream sockets, TCP or unix"
    )]
    Unusable {
        number: usize,
        name: String,
        why: io::Error,
    },
}

impl PassedSockets {
    /// Takes them from the environment. To be called once, by `main`, before anything else runs.
    ///
    /// # Errors
    /// When one is no socket that clients can connect to.
    pub fn take() -> Result<Self, ActivationError> {
        let var = |name: &str| std::env::var(name).unwrap_or_default();
        let names = var("LISTEN_FDNAMES");
        if let Ok(count) = var("LISTEN_FDS").parse::<usize>()
            && count > PASSED_MAX
        {
            return Err(ActivationError::Many(count));
        }
        let mut passed = ListenFd::from_env();
        let mut names = names.split(':');
        (0..passed.len())
            .map(|number| {
                let name = names.next().unwrap_or_default().to_owned();
                match socket(&mut passed, number) {
                    Ok(socket) => Ok(PassedSocket { socket, name }),
                    Err(why) => Err(ActivationError::Unusable { number, name, why }),
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is to speak TLS.
    pub fn has_tls(&self) -> bool {
        self.0.iter().any(PassedSocket::is_tls)
    }

    pub fn into_sockets(self) -> Vec<PassedSocket> {
        self.0
    }
}

impl PassedSocket {
    pub fn is_tls(&self) -> bool {
        self.name == TLS
    }
}

fn socket(passed: &mut ListenFd, number: usize) -> io::Result<Socket> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let socket = match passed.take_tcp_listener(number) {
        Ok(socket) => Socket::Tcp(socket.ok_or_else(gone)?),
        Err(_) => Socket::Unix(passed.take_unix_listener(number)?.ok_or_else(gone)?),
    };
    let listens = match &socket {
        Socket::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            socket_acceptconn(socket)?
        }
        Socket::Unix(socket) => {
            socket.set_nonblocking(true)?;
            socket_acceptconn(socket)?
        }
    };
    if listens {
        Ok(socket)
    } else {
        Err(io::Error::other("it is not listening (Accept=yes?)"))
    }
}
