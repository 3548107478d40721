//! The parents of a configuration: asked at the start, and from time to time after it, which mirrors
//! they serve.
//!
//! What they tell is kept with the cache folder, so that an agent starts while its parents are away.
//! Owns when they are asked, and what the log hears of it. Must not serve anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::error::StartError;
use super::mirrors::served_names;
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

/// The parents that are to be asked; none without any, and offline.
#[derive(Clone, Default)]
pub(super) struct Parents(Vec<Arc<Parent>>);

/// One of them.
struct Parent {
    url: String,
    client: ParentClient,
    shared: Arc<Shared>,
    has_stand_ins: bool,
}

impl Parents {
    pub(super) fn of(config: &Config, shared: &Arc<Shared>) -> Result<Self, StartError> {
        let mut parents = Vec::new();
        let urls = config.parents();
        if config.offline || urls.is_empty() {
            return Ok(Self(parents));
        }
        let environment = ProxyEnvironment::of_process();
        let transport = transport("gitlab", &config.gitlab.transport(), &environment)?;
        let bases = bases(config)?;
        for base in bases.parents() {
            let url = base.to_string();
            let via = shared.via.clone();
            let client = ParentClient::new(&config.gitlab, &url, base, &transport, via);
            let client = client.map_err(|error| StartError::Setting(format!("gitlab: {error}")))?;
            parents.push(Arc::new(Parent {
                url,
                client,
                shared: Arc::clone(shared),
                has_stand_ins: urls.len() > 1,
            }));
        }
        Ok(Self(parents))
    }

    /// Asks for the first time under a configuration, all at once. Parents that are away keep nothing
    /// from starting: three hundred agents that start before them would else be given up by whatever
    /// starts them.
    ///
    /// # Errors
    /// When no answer is left that may heal: each shows that this is no parent, and nothing was ever
    /// learned from one at its URL.
    pub(super) async fn meet(&self) -> Result<(), StartError> {
        let mut asking = JoinSet::new();
        for parent in &self.0 {
            let parent = Arc::clone(parent);
            asking.spawn(async move { parent.meet().await });
        }
        let mut faults = Vec::new();
        while let Some(Ok(fault)) = asking.join_next().await {
            faults.extend(fault);
        }
        if faults.is_empty() || faults.len() < self.0.len() {
            return Ok(());
        }
        Err(StartError::Setting(format!(
            "parent: {}",
            faults.join("; ")
        )))
    }

    /// Asks all once more; what comes of it is in the log.
    pub(super) async fn ask(&self) {
        let mut asking = JoinSet::new();
        for parent in &self.0 {
            let parent = Arc::clone(parent);
            asking.spawn(async move {
                let _ = parent.ask().await;
            });
        }
        while asking.join_next().await.is_some() {}
    }

    /// Asks each from time to time, and returns when what one serves has changed; without parents
    /// never.
    pub(super) async fn wait_for_news(&self) {
        let mut waiting = JoinSet::new();
        for parent in &self.0 {
            let parent = Arc::clone(parent);
            waiting.spawn(async move { parent.wait_for_news().await });
        }
        if waiting.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Of other parents than these nothing is told any more.
    pub(super) fn forget_others(&self, shared: &Shared) {
        let urls: Vec<String> = self.0.iter().map(|parent| parent.url.clone()).collect();
        shared.parents.keep(&urls);
    }
}

impl Parent {
    /// Asks for the first time; what is wrong with the answer, if this shows that it is no parent.
    async fn meet(&self) -> Option<String> {
        let before = self.reading();
        match self.ask().await {
            Err(fault) if fault.is_final() && !before.is_known => {
                Some(format!("{}: {fault}", self.url))
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// Asks again from time to time, until what it serves has changed.
    async fn wait_for_news(&self) {
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
    async fn ask(&self) -> Result<bool, ParentFault> {
        let before = self.reading();
        let asked = self.client.ask().await;
        let reading = match &asked {
            Ok(status) => ParentReading {
                url: self.url.clone(),
                is_known: true,
                serves: served_names(&facts(status)),
                version: Some(status.version.clone()),
                fault: None,
            },
            Err(fault) => ParentReading {
                fault: Some(fault.clone()),
                ..before.clone()
            },
        };
        self.shared.parents.set(reading.clone());
        if reading != before || !before.is_known {
            self.log(&asked, reading.is_known);
        }
        Ok(self.note(&asked?).await)
    }

    fn reading(&self) -> ParentReading {
        let known = self.shared.store.learned.facts().parents;
        let known = known.get(&self.url);
        ParentReading {
            url: self.url.clone(),
            is_known: known.is_some(),
            serves: known.map(served_names).unwrap_or_default(),
            ..self.shared.parents.of(&self.url).unwrap_or_default()
        }
    }

    /// Keeps with the store what the parent serves; says whether that is something new.
    async fn note(&self, status: &LarderStatus) -> bool {
        let learned = Arc::clone(&self.shared.store.learned);
        let serves = facts(status);
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
            Err(error) if self.has_stand_ins && error.is_no_parent() => tracing::error!(
                %parent, %error,
                "this is no parent: nothing is asked of it, and the others stand in for it"
            ),
            Err(error) if self.has_stand_ins && error.is_final() => tracing::warn!(
                %parent, %error,
                "what the parent serves cannot be learned from it: it is asked as it told last, if it ever did"
            ),
            Err(error) if self.has_stand_ins => tracing::warn!(
                %parent, %error,
                "the parent is away: the others stand in for it"
            ),
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

fn facts(status: &LarderStatus) -> ParentFacts {
    ParentFacts {
        mirrors: status.mirrors.clone(),
        has_public_index: status.has_public_index,
    }
}
