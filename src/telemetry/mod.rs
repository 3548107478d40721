//! What an operator sees: one log line a request, numbers, and whether all is well.
//!
//! No label and no field ever holds a credential; no label holds a package, a path or a caller. Must not know how an
//! answer came about beyond its [`CacheStatus`](crate::values::cache_status::CacheStatus).

mod exposition;
mod gauges;
mod health;
mod history;
mod journal;
mod log;
mod log_queue;
mod metrics;
mod plain_text;
mod process;
mod tally;

pub use gauges::{
    CertificateGauges, ConnectionGauges, DiskTrouble, DiskTroubleKind, FlightGauges, Gauges,
    GrantGauges, LastError, PeerGauges, RequestCount, Standing, StoreGauges,
};
pub use health::{Health, REASONS, Reason};
pub use history::{Chronicle, Lately, Served, Stretch};
pub use log::{LogConfig, LogFormat, LogGuard, LogLevel, start};
pub use metrics::Metrics;
pub use tally::{Line, Tally};
