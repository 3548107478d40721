//! What lives as long as the process, whichever configuration is in force.
//!
//! Owns the tasks that look after the store. Must not know the services.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use parking_lot::Mutex;

use super::advisories::ActiveAdvisories;
use super::error::StartError;
use super::remaking::Remaking;
use crate::access::GrantCounts;
use crate::admin::Metrics;
use crate::app::config::Config;
use crate::file::{Distrusted, DownloadCounts, RunningDownloads, SharedStoreCounts};
use crate::index::{ChangeMark, DatesCounts, PageCounts, ViewCounts};
use crate::registry::policy::PolicyCounts;
use crate::store::Store;
use crate::upstream::{ParentState, PeerCounts};
use crate::values::clock;
use crate::values::correlation;
use crate::values::digest;
use crate::values::shutdown::Shutdown;

/// How often the store tries whether a disk that failed works again.
const DISK_LOOK_EVERY: Duration = Duration::from_secs(2);

pub struct Shared {
    /// When the process began to serve.
    pub begun: Instant,
    pub store: Arc<Store>,
    pub metrics: Arc<Metrics>,
    pub shutdown: Shutdown,
    /// This process's name in `Via`.
    pub via: HeaderValue,
    /// How the parents stood when they were last asked.
    pub parents: Arc<ParentState>,
    /// What asks that the services be made anew.
    pub(super) remaking: Arc<Remaking>,
    pub peer_counts: PeerCounts,
    pub grant_counts: Arc<GrantCounts>,
    /// Downloads of all configurations.
    pub running_downloads: Arc<RunningDownloads>,
    pub download_counts: Arc<DownloadCounts>,
    pub dates_counts: Arc<DatesCounts>,
    pub policy_counts: Arc<PolicyCounts>,
    pub page_counts: Arc<PageCounts>,
    pub view_counts: Arc<ViewCounts>,
    pub shared_store_counts: Arc<SharedStoreCounts>,
    /// Blobs of the shared store whose bytes were wrong.
    pub distrusted: Arc<Distrusted>,
    /// Held by the command that takes from the store.
    pub taking: Arc<Mutex<()>>,
    /// Uploads of all configurations.
    pub changes: Arc<ChangeMark>,
    pub advisories: ActiveAdvisories,
}

impl Shared {
    /// Opens the store.
    pub fn open(config: &Config) -> Result<Arc<Self>, StartError> {
        if !digest::self_test() {
            return Err(StartError::Arithmetic);
        }
        let store = Arc::new(Store::open(&config.cache_dir()?, config.cache_size.0)?);
        if config.offline {
            store.blobs.keep_everything();
        }
        scan_usage(&store);
        look_after_disk(&store);
        let via = HeaderValue::try_from(format!("1.1 larder-{:08x}", rand::random::<u32>()))
            .map_err(StartError::setting)?;
        Ok(Arc::new(Self {
            begun: clock::now(),
            store,
            metrics: Arc::new(Metrics::default()),
            shutdown: Shutdown::default(),
            via,
            parents: Arc::default(),
            remaking: Arc::default(),
            peer_counts: PeerCounts::default(),
            grant_counts: Arc::default(),
            running_downloads: Arc::default(),
            download_counts: Arc::default(),
            dates_counts: Arc::default(),
            policy_counts: Arc::default(),
            page_counts: Arc::default(),
            view_counts: Arc::default(),
            shared_store_counts: Arc::default(),
            distrusted: Arc::default(),
            taking: Arc::default(),
            changes: Arc::default(),
            advisories: ActiveAdvisories::default(),
        }))
    }

    /// Changes the budget of the store; the surplus is evicted behind this.
    pub fn resize(&self, budget_bytes: u64) {
        self.store.set_budget(budget_bytes);
        let store = Arc::clone(&self.store);
        // Nothing waits for it: what is not evicted now is when room is next asked for.
        drop(correlation::spawn_blocking(move || {
            if let Err(why) = store.blobs.fit() {
                tracing::warn!(
                    error = %why,
                    "cannot make the store as small as cache_size wants it"
                );
            }
        }));
    }
}

/// Counts what is stored, behind the start.
fn scan_usage(store: &Store) {
    let blobs = Arc::clone(&store.blobs);
    let stock = correlation::spawn_blocking(move || blobs.scan_usage());
    #[expect(
        clippy::disallowed_methods,
        reason = "counting goes on behind the start"
    )]
    tokio::spawn(async move {
        if let Ok(Err(why)) = stock.await {
            tracing::warn!(error = %why, "cannot count what is stored");
        }
    });
}

/// Finds out whether a disk that failed works again, for as long as the store is there.
fn look_after_disk(store: &Arc<Store>) {
    let store = Arc::downgrade(store);
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the store, and holds nothing up"
    )]
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(DISK_LOOK_EVERY).await;
            let Some(store) = store.upgrade() else { return };
            // A disk that does not answer keeps this task alone waiting.
            let _ = correlation::spawn_blocking(move || store.look_after_disk(clock::now())).await;
        }
    });
}
