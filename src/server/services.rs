//! Everything that a request may need, and the set of it that the present configuration made.
//!
//! A reload swaps the set while the daemon runs. A request is given to the services that are active
//! when it comes, and stays with them to its end: they live for as long as one of their requests or
//! downloads does. Must not know how services are made.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::ServerLimits;
use super::admission::Admission;
use super::osv::OsvService;
use super::rewrite_lock::LockRewriter;
use crate::access::Access;
use crate::admin::Admin;
use crate::airgap::BundleService;
use crate::control::ConfigurationInForce;
use crate::file::Files;
use crate::index::Pages;
use crate::upload::Uploads;

pub struct Services {
    pub admission: Admission,
    pub access: Arc<Access>,
    pub pages: Arc<Pages>,
    pub files: Arc<Files>,
    pub uploads: Uploads,
    pub lock_rewriter: LockRewriter,
    pub osv: OsvService,
    /// Of connections that begin while these services are active.
    pub limits: ServerLimits,
    pub admin: Arc<Admin>,
    pub exchange: Arc<BundleService>,
    /// What these services are made of.
    pub configuration: Arc<ConfigurationInForce>,
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
