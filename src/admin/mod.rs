//! What an operator looks at and orders: metrics, readiness, the status page, and maintenance of the store.
//!
//! Above the services, whose own types it shows; below the server, which carries its answers. Must not answer a package
//! client.

mod gauges;
mod health;
pub mod maintenance;
pub mod metrics;
pub mod status;

pub use gauges::{
    CertificateGauges, ConnectionGauges, DiskTrouble, DiskTroubleKind, FlightGauges, Gauges,
    GrantGauges, LastError, PeerGauges, RequestCount, Standing, StoreGauges,
};
pub use health::{Health, REASONS, Reason};
pub use maintenance::{Upkeep, UpkeepError};
pub use metrics::{Lately, Metrics, Served, Stretch};
