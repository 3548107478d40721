//! What the status page shows, as values from one moment: the readings, and what is only looked at
//! for a page.
//!
//! Must not judge anything.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::admin::metrics::{Failures, Recent};
use crate::admin::{Observed, Readings};
use crate::file::DownloadProgress;
use crate::index::GivenPages;
use crate::registry::Scope;
use crate::values::clock;

pub struct Overview {
    pub readings: Readings,
    pub uptime: Duration,
    pub recent: Recent,
    /// On the whole disk; none if the system does not tell.
    pub free_bytes: Option<u64>,
    /// Damaged files that are kept for a person to look at; none if the folder cannot be read.
    pub quarantined: Option<u64>,
    pub downloads: Vec<DownloadProgress>,
    pub stale: Vec<GivenPages>,
    pub failures: Vec<Failures>,
}

/// What the status page shows of the configuration and of the daemon's start.
#[derive(Clone, Debug)]
pub struct StatusSettings {
    /// When the process began to serve.
    pub begun: Instant,
    /// The addresses that are listened on; no path of the disk.
    pub listen: Vec<String>,
    /// Where people reach larder, if a proxy stands in front; empty otherwise.
    pub public_url: String,
    /// Stands before every link of larder's.
    pub path_prefix: String,
    pub mirrors: Vec<Scope>,
    pub lifetimes: Lifetimes,
}

/// The configured lifetimes that a person who uses larder notices.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Lifetimes {
    /// For how long GitLab's decision about a caller holds.
    pub auth_cache_ttl_seconds: u64,
    /// A page of GitLab's younger than this is given without asking.
    pub ttl_seconds: u64,
    /// An older one may be served up to this age, if upstream fails.
    pub stale_if_error_seconds: u64,
}

impl Overview {
    /// Looks at the disk: blocks.
    pub fn take(observed: &Observed, readings: Readings, begun: Instant) -> Self {
        let now = clock::now();
        let quarantined = observed.store.quarantined();
        Self {
            readings,
            uptime: now.saturating_duration_since(begun),
            recent: observed.metrics.history.read(now),
            free_bytes: observed.store.free_bytes(),
            quarantined: quarantined.ok().map(|beside| beside.count),
            downloads: observed.files.downloads(now),
            stale: observed.pages.stale(now),
            failures: observed.metrics.failures.read(now),
        }
    }
}
