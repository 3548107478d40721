//! The configuration that a daemon runs with, as it is told over the control socket and read again.
//!
//! It names files and holds nothing of what is in them; what stands before an `@` in a URL is left
//! out. Must not know how it travels.

use super::effective::{Provenance, shown};
use super::{Config, ConfigError};
use crate::control::ConfigurationInForce;
use crate::server::ListenAddress;

impl Config {
    /// As it is told. `opened` are the addresses where clients come in: none of a daemon inside a
    /// command.
    ///
    /// # Errors
    /// When it is no JSON, which is a mistake in its type.
    pub fn in_force(&self, opened: &[ListenAddress]) -> Result<ConfigurationInForce, ConfigError> {
        let fault = |why: serde_json::Error| ConfigError(vec![why.to_string()]);
        Ok(ConfigurationInForce {
            process: std::process::id(),
            file: self.provenance.file.clone(),
            opened: opened.iter().map(ToString::to_string).collect(),
            configuration: shown(serde_json::to_value(self).map_err(fault)?),
            sources: serde_json::to_value(&self.provenance.sources).map_err(fault)?,
        })
    }

    /// What a daemon told; none if it is another version, whose keys are others.
    pub fn of_running(told: &ConfigurationInForce) -> Option<Self> {
        let mut config: Self = serde_json::from_value(told.configuration.clone()).ok()?;
        config.provenance = Provenance {
            file: told.file.clone(),
            sources: serde_json::from_value(told.sources.clone()).ok()?,
        };
        Some(config)
    }

    /// The keys that the file says otherwise by now than the running configuration has them; what
    /// the environment or a command line sets is no matter of the file's.
    pub fn written_otherwise(&self, running: &Self) -> Result<Vec<String>, ConfigError> {
        let running = running.values()?;
        let mut keys = Vec::new();
        for value in self.values()? {
            let is_the_same = |other: &&_| is_as_before(&value, other);
            if value.source.is_of_file() && !running.iter().any(|other| is_the_same(&other)) {
                keys.push(value.key);
            }
        }
        Ok(keys)
    }
}

/// Whether a key has this value already, or has one that no file decides.
fn is_as_before(written: &super::Effective, running: &super::Effective) -> bool {
    let is_decided = running.source.is_of_file();
    written.key == running.key && (!is_decided || written.value == running.value)
}
