//! Files that a mirror lists without a sha256, kept under the one they turned out to have.
//!
//! Only where the operator says so (`unhashed_files = "store"`): the first transfer is trusted, and every later one is the same
//! bytes. The first client gets upstream's own bytes unverified while a second transfer is kept behind it; from then on
//! the address is in the catalogue like any other. Must not know which pages list it.

use std::sync::Arc;

use super::Files;
use super::error::FileError;
use super::pump::{End, make_room, pump};
use crate::access::Credential;
use crate::registry::{FileRef, MirrorPath, Route};
use crate::store::{CatalogEntry, Cause, StoreError};
use crate::upstream::{FileAnswer, UpstreamError, UpstreamRequest};
use crate::values::correlation;

/// Why nothing was kept. The next request tries again.
#[derive(Debug, thiserror::Error)]
enum AdoptionError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Body(Cause),
    #[error("upstream did not send the whole file")]
    NotWhole,
    #[error("larder is busy with other downloads")]
    Busy,
}

impl Files {
    /// The file at this path, if it was kept under the sha256 that it turned out to have.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn adopted(&self, path: &MirrorPath) -> Result<Option<FileRef>, FileError> {
        if !self.adopts.contains(path.scope()) {
            return Ok(None);
        }
        let digest = self.store.catalog.digest_at(path).await.map_err(|why| {
            tracing::warn!(error = %why, "the catalogue cannot be read");
            FileError::Internal
        })?;
        Ok(digest.map(|digest| FileRef::mirrored(path, digest)))
    }

    /// Keeps the file at this path, behind the answer, once at a time.
    pub(super) fn adopt_behind(self: &Arc<Self>, path: &MirrorPath) {
        if !self.adopts.contains(path.scope()) {
            return;
        }
        let (this, path) = (Arc::clone(self), path.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a file that is not kept passes through again, no more"
        )]
        tokio::spawn(correlation::carried(async move {
            let files = Arc::clone(&this);
            let wanted = path.clone();
            let work = move || async move {
                if let Err(why) = files.adopt(&wanted).await {
                    tracing::warn!(file = %wanted, error = %why, "a file without a sha256 is not kept");
                }
            };
            this.adopting.run(path, work).await;
        }));
    }

    async fn adopt(&self, path: &MirrorPath) -> Result<(), AdoptionError> {
        let _slot = self.flights.try_slot().ok_or(AdoptionError::Busy)?;
        let (route, nobody) = (Route::Mirrored(path.clone()), Credential::anonymous());
        let FileAnswer::Whole(answer) = self
            .upstream
            .file(&UpstreamRequest::plain(&route, &nobody))
            .await?
        else {
            return Err(AdoptionError::NotWhole);
        };
        let answer = answer.uncoded()?;
        // Where nothing else tells, only an announced length tells a whole body from a cut one.
        let size = answer.length().ok_or(AdoptionError::NotWhole)?;
        let (mut spool, reservation) = make_room(&self.store, Some(size)).await?;
        spool.announce(Some(size));
        let pumped = pump(&self.store, answer, spool, reservation, 0, || false).await;
        let (spool, reservation) = match pumped.ok_or(StoreError::Interrupted)? {
            (spool, reservation, End::Complete) => (spool, reservation),
            (_, _, End::Broke(cause)) => return Err(AdoptionError::Body(cause)),
            (_, _, End::Abandoned) => return Err(AdoptionError::NotWhole),
        };
        let whole = spool.adopt().map_err(AdoptionError::Body)?;
        let file = FileRef::mirrored(path, whole.digest());
        let entry = CatalogEntry {
            size,
            ..CatalogEntry::default()
        };
        let store = Arc::clone(&self.store);
        let seal = move || {
            whole.seal(&store.blobs, reservation, || {
                store.catalog.record(&file, entry)
            })
        };
        tokio::task::spawn_blocking(seal)
            .await
            .map_err(|_| StoreError::Interrupted)??;
        Ok(())
    }
}
