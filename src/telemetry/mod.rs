//! What an operator sees: one log line a request, and numbers.
//!
//! No label and no field ever holds a credential; no label holds a package, a path or a caller. Must not know how an
//! answer came about beyond its [`CacheStatus`](crate::cache_status::CacheStatus).

mod log;
mod metrics;
mod tally;

pub use log::{LogConfig, LogFormat, LogGuard, start};
pub use metrics::{Gauges, Metrics};
pub use tally::{Line, Tally};
