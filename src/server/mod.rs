//! The wire: connections in, answers out.
//!
//! ```text
//! listener ─▶ handler (the walk of one request) ─▶ reply (the only status table) ─▶ body
//! ```
//!
//! A connection may speak TLS (`tls`), and HTTP/2 within it. The control socket is a second way in (`control`), to the same handler and to the orders.
//!
//! Owns sockets, limits on clients, and the translation of what the services found into HTTP. Must not decide who may
//! have what, and must not ask upstream itself.

mod activation;
mod activity;
mod address;
mod body;
mod browser;
mod clients;
mod conditional;
mod connection;
mod connection_counts;
mod control;
mod door;
mod encoding;
mod handler;
mod heads;
mod health;
mod in_force;
mod limits;
mod lingering;
mod listener;
mod patience;
mod places;
mod probe;
mod rate;
mod reply;
mod shutdown;
mod socket_mode;
mod status;
mod stream;
mod target;
mod tls;
mod unix_socket;

pub use activation::{ActivationError, PassedSockets};
pub use address::{Address, Addresses};
pub use browser::OwnNames;
pub use connection_counts::{ConnectionCounts, TurnedAway};
pub use door::{ControlDoor, ListenError, NetworkDoor, Opening};
pub use handler::Services;
pub use in_force::InForce;
pub use limits::ServerLimits;
pub use listener::{Listener, Occupancy};
pub use probe::answers;
pub use rate::RequestRate;
pub use shutdown::Shutdown;
pub use socket_mode::SocketMode;
pub use status::{Disk, LastError, PeerState, Reach, Rules, Snapshot, Stale, Transfer};
pub use tls::{Certificates, CertificatesError, Reloaded, TlsConfig};
