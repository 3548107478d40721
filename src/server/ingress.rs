//! By which way a request came in: what is known of it without a look at the request.
//!
//! Must not know what is asked.

use super::wire::ClientAddress;

/// The way in of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ingress {
    /// None over a unix socket, where no browser comes in.
    pub client: Option<ClientAddress>,
    pub over_tls: bool,
    /// By `health_listen`.
    pub health_only: bool,
    /// Larder sends it to itself: it is neither logged nor counted.
    pub is_own: bool,
    /// There was no place for it in time: it is refused, and logged like any other.
    pub has_no_place: bool,
}
