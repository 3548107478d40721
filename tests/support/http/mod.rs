//! An HTTP/1.1 server that answers rightly, misbehaves as a test plans it ([`Act`]) and records
//! every request ([`RequestLog`]). Who speaks, GitLab or a public index, it does not know: that is
//! a [`server::Host`].

pub(in crate::support) mod answer;
pub(in crate::support) mod connection;
mod delivery;
pub(in crate::support) mod entity;
pub(in crate::support) mod fault;
mod head;
mod kind;
pub(in crate::support) mod log;
pub(in crate::support) mod server;
pub(in crate::support) mod stand_in;
pub(in crate::support) mod tls;

pub use self::answer::Answer;
pub use self::fault::{Act, FOR_EVER, Fault, Gate, PlannedFault, Site};
pub use self::head::Head;
pub use self::kind::{Door, Kind};
pub use self::log::{Ended, Entry, FileBodies, RequestLog};
pub use self::tls::{IDENTIFIED, PROTOCOL, Tls};
