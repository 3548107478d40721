//! How the services of a configuration are made, and made anew while it is in force: when what a
//! parent serves has changed, and when what was learned has been forgotten.
//!
//! Must not know what they serve.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::app::config::Config;
use crate::app::error::StartError;
use crate::app::parent::Parent;
use crate::app::remaking::Wish;
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

    /// Follows what the parent serves, and fulfils wishes, until what is given back is dropped.
    pub(super) fn keep_up(
        &self,
        active: &Arc<ActiveServices>,
        wishes: UnboundedReceiver<Wish>,
    ) -> Result<JoinSet<()>, StartError> {
        let mut following = JoinSet::new();
        let parent = Parent::of(&self.config, &self.shared)?;
        following.spawn(follow(parent, wishes, self.clone(), Arc::clone(active)));
        Ok(following)
    }
}

async fn follow(
    parent: Option<Parent>,
    mut wishes: UnboundedReceiver<Wish>,
    making: Making,
    active: Arc<ActiveServices>,
) {
    let mut news = pin!(parents_news(parent.as_ref()));
    loop {
        let wish = tokio::select! {
            () = &mut news => {
                news.set(parents_news(parent.as_ref()));
                None
            }
            Some(wish) = wishes.recv() => {
                // What it serves may have been forgotten; whether it tells is in the log.
                if let Some(parent) = &parent {
                    let _ = parent.ask().await;
                }
                Some(wish)
            }
        };
        let making = making.clone();
        let before = active.services();
        let made = correlation::spawn_blocking(move || making.services(Some(&before))).await;
        match made {
            Ok(Ok(services)) => active.replace(services),
            Ok(Err(error)) => {
                tracing::error!(%error, "the services cannot be made anew: they stay as they were");
            }
            // A panic was logged where it happened.
            Err(_) => return,
        }
        if let Some(wish) = wish {
            // A command that has gone need not hear it.
            let _ = wish.send(());
        }
    }
}

/// Returns when the parent serves something else than before; without a parent never.
async fn parents_news(parent: Option<&Parent>) {
    match parent {
        Some(parent) => parent.wait_for_news().await,
        None => pending().await,
    }
}
