//! Why a command about the store was not carried out to its end.
//!
//! Must not know which command.

use crate::control::Gone;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The command is to blame.
    #[error("{0}")]
    Command(String),
}
