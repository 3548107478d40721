//! One cache folder as all parts of the store share it.
//!
//! Owns what belongs to the folder as a whole: its paths, the lock between writers and maintenance,
//! the disk's health, the budget, and the count of changes. Must not know what is in the files.

use std::sync::Arc;

use super::changes::Changes;
use super::disk_health::DiskHealth;
use super::layout::Layout;
use super::ledger::Ledger;
use super::maintenance_lock::MaintenanceLock;
use crate::values::digest::Digest;

pub struct Folder {
    pub layout: Layout,
    pub maintenance: MaintenanceLock,
    pub health: DiskHealth,
    pub ledger: Arc<Ledger>,
    pub changes: Changes,
}

impl Folder {
    pub fn new(layout: Layout, budget_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            layout,
            maintenance: MaintenanceLock::default(),
            health: DiskHealth::default(),
            ledger: Arc::new(Ledger::new(budget_bytes)),
            changes: Changes::default(),
        })
    }

    /// Removes a blob that has no bytes and should have some: a power cut leaves such files of what
    /// was not synced. Says whether it was one.
    pub fn remove_emptied(&self, digest: Digest) -> bool {
        let removed = self.layout.remove_empty_blob(digest);
        if removed {
            self.health.emptied();
            self.changes.note();
        }
        removed
    }

    /// Counts a blob that lies in its place now, perhaps instead of another one with so many bytes.
    pub fn blob_came(&self, replaced: Option<u64>) {
        match replaced {
            Some(bytes) => self.ledger.removed(bytes),
            None => self.health.blobs_came(1),
        }
    }
}
