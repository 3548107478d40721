//! `[limits]`: what one client, and all of them, may take.
//!
//! Owns the section. Must not know upstream's limits.

use serde::{Deserialize, Serialize};

use crate::values::quantity::{Size, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerLimits {
    /// Connections at one time. When all are taken, a new connection gets the place of the one that
    /// has been idle the longest, or waits. Over HTTP/2 so many requests too, over all connections.
    pub connections: usize,
    /// Of these, at one time, for one client: an IPv4 address, or the /64 network of an IPv6
    /// address. Further ones are closed. 0: as many as there are. Unix sockets are exempt.
    pub connections_per_client: usize,
    /// For one client, in the long run; further ones are answered with 429. 0: no limit. Health and
    /// metrics are exempt, and so are unix sockets.
    pub requests_per_second: u32,
    /// What a client that has been quiet may send at once.
    pub requests_burst: u32,
    /// From the connection to its first byte.
    pub first_byte_timeout: Span,
    /// For a whole TLS handshake.
    pub handshake_timeout: Span,
    /// For a request to find room among `connections`; then it is answered with 503. Health and
    /// metrics need none.
    pub queue_timeout: Span,
    /// For a whole request head, and for the pause between two requests; above what clients keep
    /// connections for.
    pub header_timeout: Span,
    /// Between two pieces of an upload's body.
    pub body_timeout: Span,
    /// For a client that takes nothing of what is sent to it.
    pub write_timeout: Span,
    /// For downloads to finish after a stop was asked for.
    pub drain_timeout: Span,
    /// A whole request head; at most 1 MiB.
    pub header_size: Size,
    /// A lock file that is sent to be rewritten.
    pub lock_size: Size,
}

impl ServerLimits {
    /// For a request head: each connection may hold one.
    pub const HEADER_SIZE_MAX: Size = Size(1 << 20);
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_client: 0,
            requests_per_second: 0,
            requests_burst: 500,
            first_byte_timeout: Span::seconds(10),
            handshake_timeout: Span::seconds(10),
            queue_timeout: Span::seconds(10),
            header_timeout: Span::seconds(120),
            body_timeout: Span::seconds(30),
            write_timeout: Span::seconds(600),
            drain_timeout: Span::seconds(60),
            header_size: Size(64 << 10),
            lock_size: Size(8 << 20),
        }
    }
}
