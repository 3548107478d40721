//! How the services of a configuration are made, and made anew while it is in force: when what a
//! parent serves has changed, and when what was learned has been forgotten.
//!
//! Must not know what they serve.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::app::config::Config;
use crate::app::error::StartError;
use crate::app::parents::Parents;
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

    /// Asks the parents for the first time under this configuration, if there are any.
    ///
    /// # Errors
    /// When none of them can be a parent.
    pub(super) async fn meet_parents(&self) -> Result<(), StartError> {
        let parents = Parents::of(&self.config, &self.shared)?;
        parents.forget_others(&self.shared);
        parents.meet().await
    }

    /// Follows what the parents serve, and fulfils wishes, until what is given back is dropped.
    pub(super) fn keep_up(
        &self,
        active: &Arc<ActiveServices>,
        wishes: UnboundedReceiver<Wish>,
    ) -> Result<JoinSet<()>, StartError> {
        let mut following = JoinSet::new();
        let parents = Parents::of(&self.config, &self.shared)?;
        following.spawn(follow(parents, wishes, self.clone(), Arc::clone(active)));
        Ok(following)
    }
}

async fn follow(
    parents: Parents,
    mut wishes: UnboundedReceiver<Wish>,
    making: Making,
    active: Arc<ActiveServices>,
) {
    let mut news = pin!(parents.wait_for_news());
    loop {
        let wish = tokio::select! {
            () = &mut news => {
                news.set(parents.wait_for_news());
                None
            }
            Some(wish) = wishes.recv() => {
                // What it serves may have been forgotten; whether it tells is in the log.
                parents.ask().await;
                Some(wish)
            }
        };
        // Before they are made: what is noted meanwhile makes them once more.
        parents.note_made();
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
