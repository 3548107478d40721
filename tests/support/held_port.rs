//! A port that is nobody else's for as long as it is held, whether something listens on it or not.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// Its socket is bound, so that the system gives the port to no other socket that asks for any, and
/// does not listen, so that connections are refused. Who binds to the address itself with
/// `SO_REUSEADDR`, as servers do, may listen there. A port that was only free a moment ago may be
/// another test's by now.
#[derive(Debug)]
pub struct HeldPort {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl HeldPort {
    /// Of 127.0.0.1.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a fresh socket");
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        Self {
            _socket: socket,
            address,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
