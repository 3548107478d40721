//! TLS on the way in: a certificate and its key, read anew when they change.
//!
//! Owns the files, what they hold, and which protocols are offered. Must not know what is said over
//! a connection.

mod certificates;
mod config;
mod pair;
mod watch;

pub use certificates::{Certificates, CertificatesError, Reloaded};
pub use config::TlsConfig;
