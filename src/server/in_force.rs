//! The services of the configuration that is in force, which a reload swaps while the daemon runs.
//!
//! A request is given to those that are in force when it comes, and stays with them to its end: they live for as long as
//! one of their requests or flights does. Must not know how services are made.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::ServerLimits;
use super::handler::Services;

pub struct InForce(ArcSwap<Services>);

impl InForce {
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
