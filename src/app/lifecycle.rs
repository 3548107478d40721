//! The daemon: started, reloaded, stopped.
//!
//! Owns the order of construction and of stopping. Must not contain behaviour of its own.

mod making;
mod reload;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::error::StartError;
use super::parents::Parents;
use super::settings::{asked_gitlab, certificates};
use super::shared::Shared;
use super::wiring::{Entrances, services};
use crate::app::config::Config;
use crate::server::{
    ActiveServices, Addresses, Certificates, ControlAcceptor, ListenConfig, Listener,
    NetworkAcceptor, Occupancy, PassedSockets, ServerLimits,
};
use crate::values::shutdown::Shutdown;
use making::Making;

/// How long a daemon that stops waits for pages and files to reach the disk.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a daemon inside a command looks whether another command still needs it.
const COMMANDS_POLL_EVERY: Duration = Duration::from_millis(20);

/// After so many polls it says what it waits for.
const SILENT_POLLS: u32 = 50;

/// Between two questions whether GitLab is one: at first, and at last.
const GITLAB_CHECK_FIRST: Duration = Duration::from_secs(2);
const GITLAB_CHECK_LAST: Duration = Duration::from_secs(60);

/// A running daemon.
pub struct App {
    address: Option<SocketAddr>,
    urls: Vec<String>,
    cache_dir: PathBuf,
    gitlab: Option<String>,
    making: Making,
    daemon: Daemon,
    /// Makes services anew as what is learned changes; aborted with this.
    following: JoinSet<()>,
}

impl App {
    /// Opens the store, opens the addresses, or takes the sockets that were passed on in their
    /// place, and begins to serve, over the control socket too.
    ///
    /// # Errors
    /// What kept it from starting; nothing is left running then.
    pub async fn start(config: Config, passed: PassedSockets) -> Result<Self, StartError> {
        let shared = Shared::open(&config)?;
        let certificates = certificates(&config)?;
        let opening = ListenConfig {
            listen: &config.listen,
            mode: config.listen_mode,
            tls: &config.tls.listen,
            certificates: certificates.as_deref(),
            passed,
        };
        let door = NetworkAcceptor::open(opening).await?;
        let health_door = open_for_health(&config).await?;
        config.check_opened(door.addresses())?;
        warn_of_unopened(&config, &door);
        let address = door.tcp_address();
        let urls = door.urls();
        let cache_dir = config.cache_dir()?;
        let gitlab = asked_gitlab(&config)?;
        let making = Making {
            opened: door.addresses().cloned().collect(),
            certificates: certificates.clone(),
            shared,
            config,
        };
        making.meet_parents().await?;
        let services = making.services(None)?;
        let config = &making.config;
        let mut daemon = Daemon::of(ActiveServices::new(services), &making.shared);
        daemon.open_for_commands(&cache_dir, config.limits);
        if let Some(certificates) = &certificates {
            daemon
                .serving
                .spawn(Arc::clone(certificates).keep_up(daemon.shutdown.clone()));
        }
        if let Some(health_door) = health_door {
            daemon.serve_health(health_door, config.limits);
        }
        if config.gitlab.check_at_start && !config.offline && !config.has_parent() {
            daemon.serving.spawn(check_gitlab(
                Arc::clone(&daemon.active),
                daemon.shutdown.clone(),
            ));
        }
        let listener = Listener::new(door, config.limits);
        daemon
            .serving
            .spawn(listener.serve(Arc::clone(&daemon.active), daemon.shutdown.clone()));
        let wishes = making.shared.remaking.wishes();
        let following = making.keep_up(&daemon.active, wishes)?;
        Ok(Self {
            address,
            urls,
            cache_dir,
            gitlab,
            making,
            daemon,
            following,
        })
    }

    /// The first address that speaks HTTP over TCP, with the port it was given.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it listens, as URLs, or `unix:` and a path; first what most clients can use.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Where clients reach it, if a proxy stands in front; empty otherwise.
    pub fn public_url(&self) -> &str {
        &self.making.config.public_url
    }

    /// What is shown to clients that speak TLS.
    pub fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.making.certificates.as_ref()
    }

    pub fn cache_dir(&self) -> &PathBuf {
        &self.cache_dir
    }

    /// The GitLab that is asked; none offline.
    pub fn gitlab(&self) -> Option<&str> {
        self.gitlab.as_deref()
    }

    /// The services that requests are given to.
    pub fn active(&self) -> &Arc<ActiveServices> {
        &self.daemon.active
    }

    /// Tells the listeners and connections that the daemon stops; [`App::stop`] waits for them.
    pub fn begin_stop(&self) {
        self.daemon.shutdown.begin();
    }

    /// Accepts no more, and returns when the last connection is done or the drain limit is over.
    pub async fn stop(self) {
        self.daemon.stop().await;
    }
}

/// What serves, over whichever ways in.
pub struct Daemon {
    active: Arc<ActiveServices>,
    shutdown: Shutdown,
    serving: JoinSet<()>,
    /// Aborted with this, behind the drain.
    health: JoinSet<()>,
    control: Option<Occupancy>,
}

impl Daemon {
    /// For a command of this process: over the control socket alone.
    pub async fn embedded(config: &Config) -> Result<Self, StartError> {
        let shared = Shared::open(config)?;
        Parents::of(config, &shared)?.meet().await?;
        let active = ActiveServices::new(services(&shared, config, Entrances::NONE, None)?);
        let door =
            ControlAcceptor::bind(&config.cache_dir()?).map_err(StartError::ControlSocket)?;
        let mut daemon = Self::of(active, &shared);
        daemon.serve_commands(door, config.limits);
        Ok(daemon)
    }

    fn of(active: Arc<ActiveServices>, shared: &Shared) -> Self {
        Self {
            active,
            shutdown: shared.shutdown.clone(),
            serving: JoinSet::new(),
            health: JoinSet::new(),
            control: None,
        }
    }

    fn serve_commands(&mut self, door: ControlAcceptor, limits: ServerLimits) {
        let listener = Listener::new(door, limits);
        self.control = Some(listener.occupancy());
        self.serving
            .spawn(listener.serve(Arc::clone(&self.active), self.shutdown.clone()));
    }

    /// Without a control socket it serves all the same.
    fn open_for_commands(&mut self, cache_dir: &Path, limits: ServerLimits) {
        match ControlAcceptor::bind(cache_dir) {
            Ok(door) => self.serve_commands(door, limits),
            Err(why) => {
                tracing::warn!(
                    error = %why,
                    "no control socket: commands cannot reach this daemon while it runs"
                );
            }
        }
    }

    fn serve_health(&mut self, door: NetworkAcceptor, limits: ServerLimits) {
        let urls = door.urls().join(", ");
        tracing::info!(urls, "health and metrics are answered here too");
        let listener = Listener::for_health(door, limits);
        self.health
            .spawn(listener.serve_health(Arc::clone(&self.active)));
    }

    /// Returns when no other command is connected to the control socket, however long that takes:
    /// such a command would be cut in its middle otherwise, and a second Ctrl-C ends the wait.
    /// `waiting` is told after a second of it.
    pub async fn wait_for_other_commands(&self, waiting: impl FnOnce()) {
        let Some(control) = &self.control else {
            return;
        };
        let mut waiting = Some(waiting);
        let mut polls = 0;
        while !control.is_idle() {
            polls += 1;
            if polls == SILENT_POLLS
                && let Some(waiting) = waiting.take()
            {
                waiting();
            }
            tokio::time::sleep(COMMANDS_POLL_EVERY).await;
        }
    }

    pub async fn stop(mut self) {
        self.shutdown.begin();
        // A panic of an accept loop was logged where it happened.
        while self.serving.join_next().await.is_some() {}
        // A disk that does not answer must not keep the process.
        let services = self.active.services();
        let flushed = async { tokio::join!(services.pages.flush(), services.files.flush()) };
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, flushed).await;
    }
}

/// The addresses of `health_listen`; none if there are none. What is served there gives no rights,
/// so that it may be open to the network.
async fn open_for_health(config: &Config) -> Result<Option<NetworkAcceptor>, StartError> {
    if config.health_listen.is_empty() {
        return Ok(None);
    }
    let opening = ListenConfig {
        listen: &config.health_listen,
        mode: config.listen_mode,
        tls: &Addresses::default(),
        certificates: None,
        passed: PassedSockets::default(),
    };
    Ok(Some(NetworkAcceptor::open(opening).await?))
}

/// Asks whether GitLab is one until it is, and so after a reload too.
async fn check_gitlab(active: Arc<ActiveServices>, shutdown: Shutdown) {
    let mut wait = GITLAB_CHECK_FIRST;
    loop {
        let services = active.services();
        tokio::select! {
            is_well = services.admin.check_gitlab() => {
                if is_well {
                    wait = GITLAB_CHECK_FIRST;
                }
            }
            () = shutdown.begun() => return,
        }
        drop(services);
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = GITLAB_CHECK_LAST.min(wait * 2),
            () = shutdown.begun() => return,
        }
    }
}

/// Sockets that were passed on stand in place of what is configured, which is easily overlooked. It
/// is a warning: clients of the addresses that are open would lose them for one that nothing uses
/// yet.
fn warn_of_unopened(config: &Config, door: &NetworkAcceptor) {
    for (key, address) in config.chosen_addresses() {
        if !door.stands_aside(address) {
            continue;
        }
        tracing::warn!(
            key,
            %address,
            "nothing listens there: the sockets that were passed on stand in place of it; \
             let their unit open it (systemctl edit larder.socket; a socket that is to speak \
             TLS has FileDescriptorName=tls), or disable that unit"
        );
    }
}
