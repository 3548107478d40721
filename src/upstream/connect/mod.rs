//! How a connection to an upstream comes about: names, addresses, proxies, TLS, and what went wrong
//! on the way.
//!
//! Must not know what is asked of the upstream.

mod connect_fault;
mod connector;
pub(super) mod dial;
mod no_proxy;
mod proxy;
mod proxy_fault;
mod resolver;
mod roots;
mod tls_fault;
mod transport;
mod transport_config;
mod tunnel;
mod verifier;

pub use connect_fault::ConnectFault;
pub(super) use connector::{ConnectError, ConnectTarget, PeerConnector, PeerStream, http_client};
pub(super) use proxy::is_public_name;
pub use proxy::{Proxy, ProxyEnvironment, proxy_towards};
pub use proxy_fault::ProxyFault;
pub use roots::SystemRoots;
pub use tls_fault::TlsFault;
pub(super) use transport::Audience;
pub use transport::Transport;
pub use transport_config::TransportConfig;
