//! Talking to the daemon that holds the cache folder, over a unix socket inside it: a user who may
//! open the folder may give commands.
//!
//! ```text
//! client ── POST /-/control/NAME, JSON ──▶ daemon   command  what may be asked for
//!        ◀── application/jsonl, a line an event ──  event    what is told meanwhile, and how it ended
//! ```
//!
//! Everything that is served over TCP is served over the socket too. Owns the client's side, and
//! the commands and events that cross. Must not know what carries
//! them out.

mod client;
mod command;
mod event;
mod named;
mod operation;
mod reporter;
mod sharing;
mod upkeep;

pub use client::{Body, Client, ClientError, Events, empty, post, whole};
pub use command::{CONTROL_PATH, Command};
pub use event::{End, Line};
pub use named::Named;
pub use operation::{
    About, ConfigurationInForce, FlushAuthorizations, FlushedAuthorizations, Identity, LogLevelNow,
    PageRefresh, Refresh, Refreshed, SetLogLevel, ShowConfiguration,
};
pub use reporter::{Gone, Reporter, reporter};
pub use sharing::{Share, SharingEvent};
pub use upkeep::{
    Amount, Cleared, ClearedSummary, Gc, Listed, Ls, Purge, Purgeable, Purged, Stats, Totals,
    Verified, Verify,
};
