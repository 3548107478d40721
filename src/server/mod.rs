//! The wire: connections in, answers out.
//!
//! ```text
//! listener ─▶ handler (the walk of one request) ─▶ reply (the only status table) ─▶ body
//! ```
//!
//! The control socket is a second way in (`control`), to the same handler and to the orders.
//!
//! Owns sockets, limits on clients, and the translation of what the services found into HTTP. Must not decide who may
//! have what, and must not ask upstream itself.

mod body;
mod conditional;
mod control;
mod door;
mod encoding;
mod handler;
mod limits;
mod listener;
mod patience;
mod reply;
mod shutdown;

pub use door::{ControlDoor, NetworkDoor};
pub use handler::Services;
pub use limits::ServerLimits;
pub use listener::{Listener, Occupancy};
pub use shutdown::Shutdown;
