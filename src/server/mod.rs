//! The wire: connections in, answers out.
//!
//! ```text
//! listener ─▶ handler (the walk of one request) ─▶ reply (the only status table) ─▶ body
//! ```
//!
//! Owns sockets, limits on clients, and the translation of what the services found into HTTP. Must not decide who may
//! have what, and must not ask upstream itself.

mod body;
mod conditional;
mod encoding;
mod handler;
mod limits;
mod listener;
mod patience;
mod reply;

pub use handler::Services;
pub use limits::ServerLimits;
pub use listener::{Listener, Shutdown};
