//! The parent of a configuration: asked at the start, and from time to time after it, which mirrors
//! it serves.
//!
//! What it tells is kept with the cache folder, so that an agent starts while its parent is away.
//! Owns when it is asked, and what the log hears of it. Must not serve anything.

use std::sync::Arc;
use std::time::Duration;

use super::error::StartError;
use super::settings::bases;
use super::shared::Shared;
use super::upstreams::transport;
use crate::app::config::Config;
use crate::store::ParentFacts;
use crate::upstream::{LarderStatus, ParentClient, ParentFault, ParentReading, ProxyEnvironment};
use crate::values::correlation;

/// Between two questions to a parent that answers.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// Between two questions to one that does not: many agents may wait for one parent.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A parent that is to be asked.
pub(super) struct Parent {
    url: String,
    client: ParentClient,
    shared: Arc<Shared>,
}

impl Parent {
    /// None without a parent, and offline.
    pub(super) fn of(config: &Config, shared: &Arc<Shared>) -> Result<Option<Self>, StartError> {
        let Some(url) = config.parent() else {
            return Ok(None);
        };
        if config.offline {
            return Ok(None);
        }
        let environment = ProxyEnvironment::of_process();
        let transport = transport("gitlab", &config.gitlab.transport(), &environment)?;
        let bases = bases(config)?;
        let client = ParentClient::new(
            &config.gitlab,
            url,
            bases.asked(),
            &transport,
            shared.via.clone(),
        );
        Ok(Some(Self {
            url: url.to_owned(),
            client: client.map_err(|error| StartError::Setting(format!("gitlab: {error}")))?,
            shared: Arc::clone(shared),
        }))
    }

    /// Asks for the first time under a configuration. A parent that is away keeps nothing from
    /// starting: three hundred agents that start before it would else be given up by whatever
    /// starts them.
    ///
    /// # Errors
    /// When an answer shows that this is no parent, and nothing was ever learned from one at this
    /// URL.
    pub(super) async fn meet(&self) -> Result<(), StartError> {
        let before = self.reading();
        match self.ask().await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_final() && !before.is_known => Err(StartError::Setting(
                format!("parent: {}: {fault}", self.url),
            )),
            Err(_) => Ok(()),
        }
    }

    /// Asks again from time to time, until what it serves has changed.
    pub(super) async fn wait_for_news(&self) {
        loop {
            let pause = match self.reading().fault {
                None => ASK_EVERY,
                Some(_) => ASK_AGAIN_AFTER,
            };
            tokio::time::sleep(pause).await;
            if let Ok(true) = self.ask().await {
                return;
            }
        }
    }

    /// Asks once, and notes what was told; says whether that is something new.
    pub(super) async fn ask(&self) -> Result<bool, ParentFault> {
        let before = self.reading();
        let asked = self.client.ask().await;
        let reading = match &asked {
            Ok(status) => ParentReading {
                url: self.url.clone(),
                is_known: true,
                version: Some(status.version.clone()),
                fault: None,
            },
            Err(fault) => ParentReading {
                fault: Some(fault.clone()),
                ..before.clone()
            },
        };
        self.shared.parent.set(Some(reading.clone()));
        if reading != before || !before.is_known {
            self.log(&asked, reading.is_known);
        }
        Ok(self.note(&asked?).await)
    }

    fn reading(&self) -> ParentReading {
        let is_known = self.shared.store.learned.facts().parents;
        ParentReading {
            url: self.url.clone(),
            is_known: is_known.contains_key(&self.url),
            ..self.shared.parent.read().unwrap_or_default()
        }
    }

    /// Keeps with the store what the parent serves; says whether that is something new.
    async fn note(&self, status: &LarderStatus) -> bool {
        let learned = Arc::clone(&self.shared.store.learned);
        let serves = ParentFacts {
            mirrors: status.mirrors.clone(),
            has_public_index: status.has_public_index,
        };
        if learned.facts().parents.get(&self.url) == Some(&serves) {
            return false;
        }
        let url = self.url.clone();
        let noting = correlation::spawn_blocking(move || learned.note_parent(&url, serves));
        if let Ok(Err(error)) = noting.await {
            tracing::warn!(%error, "what the parent serves cannot be noted: it is asked again after a restart");
        }
        true
    }

    fn log(&self, asked: &Result<LarderStatus, ParentFault>, is_known: bool) {
        let parent = &self.url;
        match asked {
            Ok(status) => {
                let version = &status.version;
                let mirrors = status.mirrors.join(", ");
                tracing::info!(%parent, %version, %mirrors, "the parent is asked in place of GitLab and of its mirrors");
                if status.is_of_another_major() {
                    tracing::warn!(%parent, %version, "the parent is a larder of another major version: give both the same");
                }
            }
            Err(error) if is_known => tracing::warn!(
                %parent, %error,
                "the parent's mirrors are served as it told them last, from what is stored while it is away"
            ),
            Err(error) => tracing::error!(
                %parent, %error,
                "no mirror is known before the parent has answered once: their addresses answer 504 until then"
            ),
        }
    }
}
