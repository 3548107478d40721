//! What every command is given beside its own arguments: where the configuration comes from.
//!
//! Must not know any command.

use std::path::PathBuf;

use super::error::CommandError;
use super::output::remark;
use crate::access::Credential;
use crate::app;
use crate::app::config::{Config, Overrides, default_file};

/// The configuration file and what the command line overrides of it.
#[derive(Clone)]
pub struct Invocation {
    pub file: Option<PathBuf>,
    /// Whether `--config` or the environment names the file; otherwise it was found where
    /// configurations are looked for.
    pub is_named: bool,
    pub overrides: Overrides,
    /// Whether the lines of a daemon inside this process are shown.
    pub verbose: bool,
}

impl Invocation {
    /// Looks again for a file where there was none; one that was there stays, so that its absence
    /// is a fault.
    #[must_use]
    pub fn looked_for_again(&self) -> Self {
        let mut invocation = self.clone();
        if invocation.file.is_none() {
            invocation.file = default_file();
        }
        invocation
    }

    /// The file, in words.
    pub fn source(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => "the defaults (no configuration file)".to_owned(),
        }
    }

    /// # Errors
    /// Every fault of the configuration.
    pub fn config(&self) -> Result<Config, CommandError> {
        Config::load(self.file.as_deref(), &self.overrides).map_err(CommandError::config)
    }

    /// What is good of the configuration, and everything that is wrong with it.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn examine(&self) -> Result<(Config, Vec<String>), CommandError> {
        Config::examine(self.file.as_deref(), &self.overrides).map_err(CommandError::config)
    }

    /// The cache folder of a running daemon, which goes on when the file on the disk is no longer
    /// good.
    ///
    /// # Errors
    /// When not even `cache_dir` can be read.
    pub fn cache_dir(&self) -> Result<PathBuf, CommandError> {
        let found = Config::folder(self.file.as_deref(), &self.overrides);
        let (folder, fault) = found.map_err(CommandError::config)?;
        if let Some(fault) = fault {
            remark(&format!(
                "of a bad configuration only cache_dir was taken\n{fault}"
            ));
        }
        Ok(folder)
    }
}

/// The credential that `--token-file` and `--user` name.
///
/// # Errors
/// When the file holds no token.
pub fn credential(
    user: &Option<String>,
    token_file: &Option<PathBuf>,
) -> Result<Credential, CommandError> {
    app::command_credential(user.as_deref(), token_file.as_deref()).map_err(CommandError::usage)
}
