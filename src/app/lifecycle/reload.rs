//! Another configuration comes into force while the daemon runs.
//!
//! What lives on: the store, the sockets and connections, the certificates (their files are read
//! again), the numbers, the downloads under way, when something was last uploaded, and this
//! process's name in `Via`. What is made anew: rights, prepared pages and whatever else is only
//! remembered, which costs a question each; connections to upstream; what upstream failed at.
//! Requests and downloads that run go on to their end with what they began with, and requests that
//! come now share them. Owns the order: nothing that can fail comes after the swap.

use std::sync::Arc;

use super::App;
use crate::app::config::Config;
use crate::app::error::StartError;
use crate::app::file_check::check_files;
use crate::app::settings::asked_gitlab;
use crate::app::wiring::{Entrances, services};
use crate::log::LogLevel;

impl App {
    /// Brings a configuration that was loaded into force, but for keys that need a restart: these
    /// are named.
    ///
    /// # Errors
    /// Why it is no good, each fault a line; everything is as it was before then.
    pub async fn reload(&mut self, config: Config) -> Result<Vec<&'static str>, StartError> {
        let shared = Arc::clone(&self.shared);
        let running = self.config.clone();
        let certificates = self.certificates.clone();
        let opened = self.opened.clone();
        let before = self.daemon.active.services();
        let making = tokio::task::spawn_blocking(move || {
            check_files(&config)?;
            let (config, waiting) = config.continuing(&running);
            config.check_opened(opened.iter())?;
            let gitlab = asked_gitlab(&config)?;
            let entrances = Entrances {
                opened: &opened,
                certificates: certificates.clone(),
            };
            let services = services(&shared, &config, entrances, Some(&before))?;
            if let Some(certificates) = certificates {
                certificates.reload().map_err(StartError::setting)?;
            }
            Ok::<_, StartError>((config, gitlab, services, waiting))
        });
        let made = making
            .await
            .map_err(|why| StartError::Setting(format!("larder failed at it: {why}")))?;
        let (config, gitlab, services, waiting) = made?;
        // Untouched if the configuration says what it said: a command may have changed it for a
        // while.
        if config.log.level != self.config.log.level
            && let Some(log) = LogLevel::of_process()
        {
            log.set(&config.log.level)
                .map_err(|why| StartError::Setting(format!("log.level: {why}")))?;
        }
        self.daemon.active.replace(services);
        self.shared.resize(config.cache_size.0);
        self.gitlab = gitlab;
        self.config = config;
        Ok(waiting)
    }
}
