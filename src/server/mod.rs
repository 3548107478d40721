//! The wire: connections in, answers out.
//!
//! ```text
//! listener ─▶ handler (the walk of one request) ─▶ reply (the only status table) ─▶ body
//! ```
//!
//! A connection may speak TLS (`tls`), and HTTP/2 within it. The control socket is a second way in
//! (`control`), to the same handler and to the commands.
//!
//! Owns sockets, limits on clients, and the translation of what the services found into HTTP. Must
//! not decide who may have what, and must not ask upstream itself.

mod access_log;
mod admission;
mod body;
mod browser;
mod conditions;
mod control;
mod encoding;
mod endpoints;
mod failure;
mod file_reply;
mod handler;
mod ingress;
mod log_entry;
mod osv;
mod page_reply;
mod piece;
mod probe;
mod rate;
mod refusal_cause;
mod reply;
mod request_head;
mod rewrite_lock;
mod services;
mod target;
mod tls;
mod wire;

pub use admission::Admission;
pub use browser::OwnNames;
pub use osv::OsvService;
pub use probe::answers;
pub use reply::Refusal;
pub use rewrite_lock::LockRewriter;
pub use services::{ActiveServices, Services};
pub use tls::{Certificates, CertificatesError, Reloaded, TlsConfig};
pub use wire::{
    ActivationError, Addresses, ControlAcceptor, ListenAddress, ListenConfig, ListenError,
    Listener, NetworkAcceptor, Occupancy, PassedSockets, ServerLimits, SocketMode,
};

/// For `benches/micro.rs` alone.
#[doc(hidden)]
pub mod measured {
    pub use super::access_log::{AccessLogEntry, LoggedRequest};
    pub use super::wire::ClientAddress;
}
