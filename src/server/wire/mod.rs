//! Sockets and connections: what listens, what is accepted, how long a client may take.
//!
//! Must not know what is asked over a connection.

mod acceptor;
mod activation;
mod activity;
mod address;
mod clients;
mod connection;
mod file_stream;
mod head_timer;
mod heads;
mod limits;
mod lingering;
mod listener;
mod patience;
mod places;
mod socket_mode;
mod stream;
mod unix_socket;

pub use acceptor::{ControlAcceptor, ListenConfig, ListenError, NetworkAcceptor};
pub use activation::{ActivationError, PassedSockets};
pub use address::{Addresses, ListenAddress};
pub use clients::ClientAddress;
pub use limits::ServerLimits;
pub use listener::{Listener, Occupancy};
pub use socket_mode::SocketMode;
