//! Everything that a request may need, and the set of it that the present configuration made.
//!
//! A reload swaps the set while the daemon runs. A request is given to the services that are active when it comes, and
//! stays with them to its end: they live for as long as one of their requests or downloads does. Must not know how services
//! are made.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::ServerLimits;
use super::admission::Admission;
use super::shutdown::Shutdown;
use super::wire::ConnectionCounts;
use crate::access::Access;
use crate::admin::Upkeep;
use crate::admin::status::Snapshot;
use crate::admin::{Gauges, Health, Metrics};
use crate::airgap::Exchange;
use crate::file::Files;
use crate::index::Pages;
use crate::store::Holdings;
use crate::upload::Uploads;
use crate::values::clock;

pub struct Services {
    pub admission: Admission,
    pub access: Arc<Access>,
    pub pages: Arc<Pages>,
    pub files: Arc<Files>,
    pub uploads: Uploads,
    /// Of connections that begin while these services are active.
    pub limits: ServerLimits,
    pub upkeep: Arc<Upkeep>,
    pub exchange: Arc<Exchange>,
    pub metrics: Arc<Metrics>,
    /// Reads the gauges.
    pub gauges: Box<dyn Fn() -> Gauges + Send + Sync>,
    pub connections: Arc<ConnectionCounts>,
    /// Tells whether the daemon is about to end.
    pub shutdown: Shutdown,
    /// Reads everything that the status page shows. Blocks.
    pub snapshot: Arc<dyn Fn(&Gauges) -> Snapshot + Send + Sync>,
    /// What is stored, for a caller that may see which files there are.
    pub holdings: Holdings,
    /// Stands before every link of ours.
    pub path_prefix: String,
}

impl Services {
    /// Every gauge, at this moment.
    pub fn gauges(&self) -> Gauges {
        let looked = Gauges {
            stopping: self.shutdown.has_begun(),
            connections: self.connections.read(),
            ..(self.gauges)()
        };
        self.metrics.completed(looked, clock::now())
    }

    /// Whether all is well, and if not, why.
    pub fn health(&self) -> Health {
        Health::of(&self.gauges())
    }
}

/// The services of the configuration in force.
pub struct ActiveServices(ArcSwap<Services>);

impl ActiveServices {
    pub fn new(services: Services) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(services)))
    }

    pub fn services(&self) -> Arc<Services> {
        self.0.load_full()
    }

    /// Gives all further requests to these.
    pub fn replace(&self, services: Services) {
        self.0.store(Arc::new(services));
    }

    /// For connections that come now.
    pub(super) fn limits(&self) -> ServerLimits {
        self.0.load().limits
    }
}
