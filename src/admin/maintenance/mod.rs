//! Looking after the store: verify, gc, stats, ls, purge; each as a plan first, then done. And
//! refresh, which asks.
//!
//! Works beside clients and never touches what is under way. Everything but refresh blocks and runs
//! on one thread; all of it ends when its caller has left; what was done by then
//! stays done and leaves the store whole. Must not know who asked.

mod census;
mod error;
mod gc;
mod ls;
mod purge;
mod refresh;
mod selection;
mod share;
mod stats;
mod verify;

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};

use crate::access::Caller;
use crate::control::{
    Cleared, Gc, Listed, Ls, Purge, Purged, Refresh, Refreshed, Reporter, Share, SharingEvent,
    Totals, Verified,
};
use crate::file::Files;
use crate::index::Pages;
use crate::store::{Store, StoreError};
use crate::values::correlation;
pub use error::MaintenanceError;

/// Carries out the commands about the store. All methods that are not `async` block: run them on a
/// blocking thread.
pub struct Maintenance {
    store: Arc<Store>,
    pages: Arc<Pages>,
    files: Arc<Files>,
    /// What takes something away does so one after another: each judges by what it has seen.
    taking: Arc<Mutex<()>>,
    /// Has the services made anew by what is learned now; returns when it is done.
    remake: Box<dyn Fn() + Send + Sync>,
}

impl Maintenance {
    /// `taking` is one for all that take from this store, whatever configuration they are of.
    /// `remake` has the services made anew when what was learned has been forgotten.
    pub fn new(
        store: Arc<Store>,
        pages: Arc<Pages>,
        files: Arc<Files>,
        taking: Arc<Mutex<()>>,
        remake: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            store,
            pages,
            files,
            taking,
            remake,
        }
    }

    /// Says what the store holds.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn stats(&self, out: &Reporter<Totals>) -> Result<(), MaintenanceError> {
        stats::run(&self.store, &self.files, out)
    }

    /// Tells each file that is known.
    ///
    /// # Errors
    /// When the folder cannot be read, or the command names nothing that could be.
    pub fn ls(&self, command: &Ls, out: &Reporter<Listed>) -> Result<(), MaintenanceError> {
        ls::run(&self.store, command, out)
    }

    /// Hashes everything again, and sets aside what is wrong.
    ///
    /// # Errors
    /// When the folder cannot be read or mended.
    pub fn verify(&self, out: &Reporter<Verified>) -> Result<(), MaintenanceError> {
        let _turn = self.turn();
        verify::run(&self.store, out)
    }

    /// Removes what nothing needs. Files of a named set stay, whatever else is said of them.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn gc(
        &self,
        command: Gc,
        now: SystemTime,
        out: &Reporter<Cleared>,
    ) -> Result<(), MaintenanceError> {
        let _turn = self.turn();
        let is_served = |scope: &_| self.pages.serves(scope);
        let kept = &self.store.sets.digests()?;
        gc::Collection {
            store: &self.store,
            is_served: &is_served,
            kept,
            now,
            command,
        }
        .run(out)
    }

    /// Removes what is named, and all pages from memory. What was learned of upstreams is out of
    /// force when this returns, if it was meant.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or the command names nothing that could be.
    pub fn purge(&self, command: &Purge, out: &Reporter<Purged>) -> Result<(), MaintenanceError> {
        let _turn = self.turn();
        let learned = self.store.learned.facts();
        let purged = purge::run(&self.store, &self.files, command, out);
        if !command.dry_run {
            self.pages.forget();
        }
        if self.store.learned.facts() != learned {
            (self.remake)();
        }
        purged
    }

    /// Asks for pages again, and tells what changed. GitLab is asked in the caller's name, if it
    /// shows a credential.
    ///
    /// # Errors
    /// When the folder cannot be read, or the command names nothing that could be.
    pub async fn refresh(
        &self,
        command: Refresh,
        caller: &Caller,
        out: &Reporter<Refreshed>,
    ) -> Result<(), MaintenanceError> {
        let store = Arc::clone(&self.store);
        let pages = Arc::clone(&self.pages);
        let look = correlation::spawn_blocking(move || refresh::pages(&store, &pages, &command));
        let wanted = look.await.map_err(|_| StoreError::Interrupted)??;
        refresh::run(&self.pages, wanted, caller, out).await
    }

    /// Uploads files that are held to the shared store.
    ///
    /// # Errors
    /// When the folder cannot be read, there is no shared store, it does not take them, or the
    /// command names nothing that could be.
    pub async fn share(
        &self,
        command: Share,
        out: &Reporter<SharingEvent>,
    ) -> Result<(), MaintenanceError> {
        let store = Arc::clone(&self.store);
        let look = correlation::spawn_blocking(move || share::files(&store, &command));
        let wanted = look.await.map_err(|_| StoreError::Interrupted)??;
        share::run(&self.files, wanted, out).await
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.taking.lock()
    }
}
