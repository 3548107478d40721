//! Talking to the daemon that holds the cache folder, over a unix socket inside it: who may open
//! the folder may give orders.
//!
//! ```text
//! client ── POST /-/control/NAME, JSON ──▶ daemon            order    what may be asked for
//!        ◀── application/jsonl, a line an event ──           event    what is told meanwhile, and how it ended
//! ```
//!
//! Everything that is served over TCP is served over the socket too. Owns the client's side, and
//! the orders and events that cross. Must not know who obeys.

mod client;
mod event;
mod operation;
mod order;
mod reporter;
mod upkeep;

pub use client::{Body, Client, ClientError, Events, empty, post, whole};
pub use event::{End, Line};
pub use operation::{
    About, FlushAuthorizations, FlushedAuthorizations, Identity, LogLevelNow, PageRefresh, Refresh,
    Refreshable, Refreshed, SetLogLevel,
};
pub use order::{CONTROL_PATH, Order};
pub use reporter::{Gone, Reporter, reporter};
pub use upkeep::{
    Amount, Cleared, ClearedSummary, Gc, Listed, Ls, Purge, Purgeable, Purged, Stats, Totals,
    Verified, Verify,
};
