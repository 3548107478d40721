//! A download under way, as the status page shows it.
//!
//! Must not know who may learn the file's name: the status page decides.

use std::time::Duration;

use crate::registry::FileRef;

#[derive(Clone, Debug)]
pub struct DownloadProgress {
    pub file: FileRef,
    pub written_bytes: u64,
    /// Unless upstream has not told, or not answered yet.
    pub size_bytes: Option<u64>,
    /// Clients that read it now; it may go on without any.
    pub readers: usize,
    /// For how long it has been wanted, waiting for its turn included.
    pub since: Duration,
}
