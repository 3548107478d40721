//! The way of a command to the daemon that holds the cache folder: one that runs, or one that is
//! started inside this process.
//!
//! Must not know what the command asks.

use std::time::Duration;

use super::error::StartError;
use super::lifecycle::Daemon;
use crate::app::config::Config;
use crate::control::Client;
use crate::store::StoreError;
use crate::values::clock;

/// For a daemon that holds the folder to answer: one may be starting or stopping.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two attempts to find it.
const REACH_PAUSE: Duration = Duration::from_millis(50);

/// The daemon that holds the cache folder, for a command that needs one.
pub enum Reached {
    /// It runs by itself.
    Running(Client),
    /// The folder was free: the daemon runs inside this process, for as long as the command does.
    Embedded(Client, Daemon),
}

impl Reached {
    pub fn client(&self) -> &Client {
        match self {
            Self::Running(client) | Self::Embedded(client, _) => client,
        }
    }

    /// Ends a daemon inside this process, when the other commands that have found it meanwhile are
    /// done; `waiting` is told if that takes a while. All clones of the client must be gone.
    pub async fn stop(self, waiting: impl FnOnce()) {
        if let Self::Embedded(client, daemon) = self {
            drop(client);
            daemon.wait_for_other_commands(waiting).await;
            daemon.stop().await;
        }
    }
}

/// Finds the daemon that holds the cache folder, or becomes it.
///
/// # Errors
/// What keeps one from starting; [`StartError::Unreachable`] when the folder is held by one that
/// does not answer.
pub async fn reach(config: &Config) -> Result<Reached, StartError> {
    let folder = config.cache_dir()?;
    let until = clock::now() + REACH_TIMEOUT;
    // Again, because one that starts or stops holds the folder for a moment without answering.
    loop {
        match Daemon::embedded(config).await {
            Ok(daemon) => {
                return match Client::connect(&folder).await {
                    Ok(client) => Ok(Reached::Embedded(client, daemon)),
                    Err(why) => Err(StartError::Unreachable { folder, why }),
                };
            }
            Err(StartError::Store(StoreError::InUse(_))) => {}
            Err(why) => return Err(why),
        }
        match Client::connect(&folder).await {
            Ok(client) => return Ok(Reached::Running(client)),
            Err(why) if clock::now() >= until => {
                return Err(StartError::Unreachable { folder, why });
            }
            Err(_) => tokio::time::sleep(REACH_PAUSE).await,
        }
    }
}
