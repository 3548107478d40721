//! How a connection to an upstream comes about: names, addresses, proxies, TLS, and what went wrong on the way.
//!
//! Must not know what is asked of the upstream.

pub mod connector;
pub mod dial;
pub mod no_proxy;
pub mod pinned;
pub mod proxy;
pub mod proxy_fault;
pub mod resolver;
pub mod tls_fault;
pub mod transport;
pub mod transport_config;
pub mod tunnel;
