//! What `larder doctor` examines.
//!
//! Must not judge.

use std::sync::Arc;
use std::time::Duration;

use super::ground::Ground;
use crate::access::Credential;
use crate::upstream::{Transport, Upstream};
use crate::values::validity::Validity;

/// What is examined.
pub struct Patient {
    pub ground: Ground,
    /// Everybody that the daemon would ask, with little patience.
    pub upstream: Arc<Upstream>,
    /// None offline.
    pub ways: Option<Ways>,
    /// In whose name GitLab is asked.
    pub credential: Credential,
    /// For each step.
    pub limit: Duration,
    /// In bytes.
    pub cache_size: u64,
    pub connections: usize,
    /// What prepared pages may take, in bytes.
    pub page_memory: u64,
    /// Of the certificate that TLS clients are shown.
    pub certificate: Option<Validity>,
}

/// How each peer is reached.
pub struct Ways {
    pub gitlab: Transport,
    /// In the order of [`Ground::mirrors`].
    pub mirrors: Vec<Transport>,
}
