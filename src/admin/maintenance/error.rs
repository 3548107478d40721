//! Why an order about the store was not carried out to its end.
//!
//! Must not know which order.

use crate::control::Gone;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The order is to blame.
    #[error("{0}")]
    Order(String),
}
