//! The parents of a configuration: asked at the start, and from time to time after it, which mirrors
//! they serve.
//!
//! What they tell is kept with the cache folder, so that an agent starts while its parents are away.
//! Owns when they are asked, and what the log hears of it. Must not serve anything.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::error::StartError;
use super::mirrors::served_names;
use super::settings::bases;
use super::shared::Shared;
use super::upstreams::transport;
use crate::app::config::Config;
use crate::store::ParentFacts;
use crate::upstream::{
    LarderStatus, ParentClient, ParentFault, ParentReading, ProxyEnvironment, SystemRoots,
};
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
    /// What it was known to serve when the services in force were made.
    made_of: Mutex<Option<ParentFacts>>,
}

impl Parents {
    pub(super) fn of(config: &Config, shared: &Arc<Shared>) -> Result<Self, StartError> {
        let mut parents = Vec::new();
        let urls = config.parents();
        if config.offline || urls.is_empty() {
            return Ok(Self(parents));
        }
        let environment = ProxyEnvironment::of_process();
        let section = config.gitlab.transport();
        let transport = transport("gitlab", &section, &environment, &SystemRoots::default())?;
        let bases = bases(config)?;
        for base in bases.parents() {
            let url = base.to_string();
            let via = shared.via.clone();
            let client = ParentClient::new(&config.gitlab, &url, base, &transport, via);
            let client = client.map_err(|error| StartError::Setting(format!("gitlab: {error}")))?;
            parents.push(Arc::new(Parent {
                made_of: Mutex::new(known_of(shared, &url)),
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

    /// Services are about to be made of what is known now.
    pub(super) fn note_made(&self) {
        for parent in &self.0 {
            *parent.made_of.lock() = known_of(&parent.shared, &parent.url);
        }
    }

    /// Asks each from time to time, and returns when one serves what the services were not made of;
    /// without parents never. What another tells at the same time may be noted after this has
    /// returned, and is news then.
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
            Ok(()) | Err(_) => None,
        }
    }

    /// Asks again from time to time, until what it serves has changed.
    async fn wait_for_news(&self) {
        while !self.has_news() {
            let pause = match self.reading().fault {
                None => ASK_EVERY,
                Some(_) => ASK_AGAIN_AFTER,
            };
            tokio::time::sleep(pause).await;
            // What comes of it is in the log.
            let _ = self.ask().await;
        }
    }

    fn has_news(&self) -> bool {
        *self.made_of.lock() != known_of(&self.shared, &self.url)
    }

    /// Asks once, and notes what was told.
    async fn ask(&self) -> Result<(), ParentFault> {
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
        self.note(&asked?).await;
        Ok(())
    }

    fn reading(&self) -> ParentReading {
        let known = known_of(&self.shared, &self.url);
        ParentReading {
            url: self.url.clone(),
            is_known: known.is_some(),
            serves: known.as_ref().map(served_names).unwrap_or_default(),
            ..self.shared.parents.of(&self.url).unwrap_or_default()
        }
    }

    /// Keeps with the store what the parent serves.
    async fn note(&self, status: &LarderStatus) {
        let serves = facts(status);
        if known_of(&self.shared, &self.url).as_ref() == Some(&serves) {
            return;
        }
        let learned = Arc::clone(&self.shared.store.learned);
        let url = self.url.clone();
        let noting = correlation::spawn_blocking(move || learned.note_parent(&url, serves));
        if let Ok(Err(error)) = noting.await {
            tracing::warn!(%error, "what the parent serves cannot be noted: it is asked again after a restart");
        }
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

/// What is noted of a parent, if it has ever answered.
fn known_of(shared: &Shared, url: &str) -> Option<ParentFacts> {
    shared.store.learned.facts().parents.get(url).cloned()
}

fn facts(status: &LarderStatus) -> ParentFacts {
    ParentFacts {
        mirrors: status.mirrors.clone(),
        has_public_index: status.has_public_index,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_is_noted_after_the_services_were_made_is_news() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            cache_dir: folder.path().display().to_string(),
            ..Config::default()
        };
        let config = config.with_parent("http://127.0.0.1:9");
        let shared = Shared::open(&config).unwrap();
        let parents = Parents::of(&config, &shared).unwrap();
        let serves = ParentFacts {
            has_public_index: true,
            ..ParentFacts::default()
        };
        // By a question that nothing waits for any more.
        let url = &parents.0[0].url;
        shared.store.learned.note_parent(url, serves).unwrap();
        let at_once = Duration::from_secs(3);
        assert!(timeout(at_once, parents.wait_for_news()).await.is_ok());
        parents.note_made();
        let no_time = Duration::from_millis(50);
        assert!(timeout(no_time, parents.wait_for_news()).await.is_err());
    }
}
