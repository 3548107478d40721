//! Another configuration comes into force while the daemon runs.
//!
//! What lives on: the store, the sockets and connections, the certificates (their files are read
//! again), the numbers, the downloads under way, when something was last uploaded, and this
//! process's name in `Via`. What is made anew: rights, prepared pages and whatever else is only
//! remembered, which costs a question each; connections to upstream; what upstream failed at.
//! Requests and downloads that run go on to their end with what they began with, and requests that
//! come now share them. Owns the order: nothing that can fail comes after the swap.

use super::App;
use super::making::Making;
use crate::app::config::Config;
use crate::app::error::StartError;
use crate::app::file_check::check_files;
use crate::app::settings::asked_gitlab;
use crate::log::{LogLevel, show_client_addresses};
use crate::server::Services;
use crate::values::correlation;

impl App {
    /// Brings a configuration that was loaded into force, but for keys that need a restart: these
    /// are named.
    ///
    /// # Errors
    /// Why it is no good, each fault a line; everything is as it was before then.
    pub async fn reload(&mut self, config: Config) -> Result<Vec<&'static str>, StartError> {
        // What the parents of before serve is news no more.
        self.following.shutdown().await;
        let parents = self.making.shared.parents.read();
        // What is forgotten while services are made is not forgotten by these.
        let wishes = self.making.shared.remaking.wishes();
        let made = self.make(config).await;
        let taken = match made {
            Ok(made) => self.take(made),
            Err(error) => {
                self.making.shared.parents.replace(parents);
                Err(error)
            }
        };
        self.following = self.making.keep_up(&self.daemon.active, wishes)?;
        taken
    }

    async fn make(&self, config: Config) -> Result<Made, StartError> {
        let running = self.making.config.clone();
        let making = self.making.clone();
        let checking = correlation::spawn_blocking(move || {
            check_files(&config)?;
            let (config, waiting) = config.continuing(&running);
            config.check_opened(making.opened.iter())?;
            Ok::<_, StartError>((Making { config, ..making }, waiting))
        });
        let (making, waiting) = checking.await.map_err(failed)??;
        making.meet_parents().await?;
        let before = self.daemon.active.services();
        let building = correlation::spawn_blocking(move || {
            let gitlab = asked_gitlab(&making.config)?;
            let services = making.services(Some(&before))?;
            if let Some(certificates) = &making.certificates {
                certificates.reload().map_err(StartError::setting)?;
            }
            Ok::<_, StartError>(Made {
                gitlab,
                services,
                making,
                waiting,
            })
        });
        building.await.map_err(failed)?
    }

    fn take(&mut self, made: Made) -> Result<Vec<&'static str>, StartError> {
        let config = &made.making.config;
        // Untouched if the configuration says what it said: a command may have changed it for a
        // while.
        if config.log.level != self.making.config.log.level
            && let Some(log) = LogLevel::of_process()
        {
            log.set(&config.log.level)
                .map_err(|why| StartError::Setting(format!("log.level: {why}")))?;
        }
        show_client_addresses(config.log.client_address);
        self.daemon.active.replace(made.services);
        self.making.shared.resize(config.cache_size.0);
        self.gitlab = made.gitlab;
        self.making = made.making;
        Ok(made.waiting)
    }
}

/// What a new configuration comes to, before it is in force.
struct Made {
    gitlab: Option<String>,
    services: Services,
    making: Making,
    /// Keys that need a restart.
    waiting: Vec<&'static str>,
}

fn failed(why: tokio::task::JoinError) -> StartError {
    StartError::Setting(format!("larder failed at it: {why}"))
}
