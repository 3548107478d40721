//! Why there is no connection, in words for clients.
//!
//! Pure. Must not name an address.

use std::error::Error;
use std::io::{self, ErrorKind};

use super::connector::ConnectError;
use crate::values::error_chain;

/// What the standard library says of a name that the resolver does not know.
const NO_NAME: &str = "failed to lookup address information";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// The name does not resolve.
    Name,
    Refused,
    Late,
    /// No network, or no way to that host.
    Route,
    Other,
}

impl ConnectFault {
    /// Of an error and its causes.
    pub fn within(why: &(dyn Error + 'static)) -> Self {
        if let Some(ConnectError::Late(_)) = error_chain::find(why) {
            return Self::Late;
        }
        if error_chain::in_full(why).contains(NO_NAME) {
            return Self::Name;
        }
        let io = error_chain::causes(why).filter_map(|cause| cause.downcast_ref::<io::Error>());
        match io.last().map(io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => Self::Refused,
            Some(ErrorKind::TimedOut) => Self::Late,
            Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => Self::Route,
            _ => Self::Other,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Name => "its name does not resolve",
            Self::Refused => "nothing listens at its address",
            Self::Late => "no connection in time",
            Self::Route => "there is no route to it",
            Self::Other => "the connection failed",
        }
    }

    /// In one word, for the log and the status page.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Name => "name",
            _ => "connect",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_found_within_what_carries_it() {
        let network = |why: io::Error| ConnectError::Network(why.into());
        for (kind, fault) in [
            (ErrorKind::ConnectionRefused, ConnectFault::Refused),
            (ErrorKind::NetworkUnreachable, ConnectFault::Route),
            (ErrorKind::PermissionDenied, ConnectFault::Other),
        ] {
            let why = network(io::Error::from(kind));
            assert_eq!(ConnectFault::within(&why), fault);
        }
        let unknown = network(io::Error::other(format!(
            "{NO_NAME}: Name or service not known"
        )));
        assert_eq!(ConnectFault::within(&unknown), ConnectFault::Name);
        let late = ConnectError::Late(std::time::Duration::from_secs(1));
        assert_eq!(ConnectFault::within(&late), ConnectFault::Late);
    }
}
