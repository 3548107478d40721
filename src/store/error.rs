//! What can go wrong on the disk.
//!
//! Must not know what was being stored.

use std::io;
use std::path::{Path, PathBuf};

use super::set_name::{FILES_MAX, SetName};

use crate::values::correlation;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the cache folder {0} is in use by another larder; stop it, or set another cache_dir")]
    InUse(PathBuf),
    #[error("cannot {what} {path}: {source}")]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the store's index: {0}")]
    Index(#[from] cacache::Error),
    #[error("the cache is full: {needed} bytes do not fit into its budget")]
    Full { needed: u64 },
    #[error(
        "{needed} bytes more do not fit: {taken} of {budget} are taken, and nothing is removed to make room; set cache_size to at least {enough}"
    )]
    NoRoom {
        needed: u64,
        taken: u64,
        budget: u64,
        enough: u64,
    },
    #[error("the set {0} would have more than {max} files", max = FILES_MAX)]
    SetTooLarge(SetName),
    #[error("another import is under way")]
    Importing,
    #[error("the disk failed a moment ago; larder does not write to it until it recovers")]
    BackingOff,
    #[error("a task of the store ended early")]
    Interrupted,
}

/// Runs what blocks on a thread of its own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = correlation::spawn_blocking(work).await;
    done.map_err(|_| StoreError::Interrupted)?
}

impl StoreError {
    /// Whether only room is lacking: what is written already is good.
    pub fn is_lack_of_room(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }
            _ => false,
        }
    }

    /// Whether the folder is not ours to write, while it may be read.
    pub(super) fn is_refusal_to_write(&self) -> bool {
        let refused = [
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::PermissionDenied,
        ];
        matches!(self, Self::Io { source, .. } if refused.contains(&source.kind()))
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
