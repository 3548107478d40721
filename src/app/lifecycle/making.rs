//! The services of a larder with a parent, made anew when what the parent serves has changed.
//!
//! Must not know what it serves.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::app::config::Config;
use crate::app::error::StartError;
use crate::app::parent::Parent;
use crate::app::shared::Shared;
use crate::app::wiring::{Entrances, services};
use crate::server::{ActiveServices, Certificates, ListenAddress, Services};
use crate::values::correlation;

/// What the services of a configuration are made of.
#[derive(Clone)]
pub(super) struct Making {
    pub shared: Arc<Shared>,
    pub config: Config,
    pub opened: Vec<ListenAddress>,
    pub certificates: Option<Arc<Certificates>>,
}

impl Making {
    /// Blocks: it opens files.
    pub(super) fn services(&self, before: Option<&Services>) -> Result<Services, StartError> {
        let entrances = Entrances {
            opened: &self.opened,
            certificates: self.certificates.clone(),
        };
        services(&self.shared, &self.config, entrances, before)
    }

    /// Asks the parent for the first time under this configuration, if there is one.
    ///
    /// # Errors
    /// When it cannot be the parent.
    pub(super) async fn meet_parent(&self) -> Result<(), StartError> {
        match Parent::of(&self.config, &self.shared)? {
            Some(parent) => parent.meet().await,
            None => {
                self.shared.parent.set(None);
                Ok(())
            }
        }
    }

    /// Follows what the parent serves, until what is given back is dropped.
    pub(super) fn follow_parent(
        &self,
        active: &Arc<ActiveServices>,
    ) -> Result<JoinSet<()>, StartError> {
        let mut following = JoinSet::new();
        if let Some(parent) = Parent::of(&self.config, &self.shared)? {
            following.spawn(follow(parent, self.clone(), Arc::clone(active)));
        }
        Ok(following)
    }
}

async fn follow(parent: Parent, making: Making, active: Arc<ActiveServices>) {
    loop {
        parent.wait_for_news().await;
        let making = making.clone();
        let before = active.services();
        let made = correlation::spawn_blocking(move || making.services(Some(&before))).await;
        match made {
            Ok(Ok(services)) => active.replace(services),
            Ok(Err(error)) => {
                tracing::error!(%error, "what the parent serves now cannot be served here");
            }
            // A panic was logged where it happened.
            Err(_) => return,
        }
    }
}
