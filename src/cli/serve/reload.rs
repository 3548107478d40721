//! SIGHUP: the configuration is read again, from where it was read at the start.
//!
//! Owns what the log and the numbers are told of it. Must not know how a configuration comes into force.

use std::path::PathBuf;

use crate::app::App;
use crate::app::config::Config;
use crate::app::config::Overrides;
use crate::cli::arguments::Cli;
use crate::values::clock;

/// Where the configuration comes from, beside the environment.
#[derive(Clone)]
pub(super) struct Origin {
    file: Option<PathBuf>,
    overrides: Overrides,
}

impl Origin {
    pub(super) fn of(cli: &Cli) -> Self {
        Self {
            file: cli.config.clone(),
            overrides: cli.overrides(),
        }
    }

    /// What is wrong with it, each fault a line, if it is no good.
    pub(super) fn load(&self) -> Result<Config, String> {
        Config::load(self.file.as_deref(), &self.overrides).map_err(|why| why.to_string())
    }
}

/// Brings the configuration as it is now into force, or leaves everything as it is.
pub(super) async fn reload(app: &mut App, origin: &Origin) {
    let source = origin.clone();
    let loaded = tokio::task::spawn_blocking(move || source.load()).await;
    let done = match loaded {
        Ok(Ok(config)) => app.reload(config).await.map_err(|why| why.to_string()),
        Ok(Err(faults)) => Err(faults),
        Err(why) => Err(format!("larder failed at reading it: {why}")),
    };
    let metrics = &app.in_force().services().metrics;
    match done {
        Ok(waiting) => {
            metrics.config_taken(clock::wall());
            for key in waiting {
                tracing::warn!(
                    key,
                    "this key has changed and needs a restart: until then it stays as it was"
                );
            }
            tracing::info!("the configuration was read again and is in force");
        }
        Err(faults) => {
            metrics.config_refused(clock::now());
            for fault in faults.lines() {
                tracing::error!(
                    fault,
                    "the new configuration is no good: the one before stays in force"
                );
            }
        }
    }
}
