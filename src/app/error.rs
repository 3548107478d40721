//! Why a configuration, or what it names, does not make a daemon.
//!
//! Must not know how one is made.

use std::path::PathBuf;

use crate::app::config::ConfigError;
use crate::control::ClientError;
use crate::server::ListenError;
use crate::store::StoreError;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Setting(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot make the control socket in the cache folder: {0}")]
    ControlSocket(std::io::Error),
    #[error(
        "the cache folder {} is held by another process, and it cannot be asked: {why}; \
         stop it, or set another cache_dir",
        folder.display()
    )]
    Unreachable { folder: PathBuf, why: ClientError },
    #[error("sha256 computes wrong sums on this machine: nothing could be verified")]
    Arithmetic,
}

impl StartError {
    /// A value that cannot be used; the error names its key.
    pub fn setting(error: impl std::fmt::Display) -> Self {
        Self::Setting(error.to_string())
    }

    /// Whether the operator's configuration is to blame.
    pub fn is_config(&self) -> bool {
        matches!(
            self,
            Self::Config(_) | Self::Setting(_) | Self::Listen(ListenError::NoCertificate)
        )
    }
}
