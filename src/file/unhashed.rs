//! Files that a mirror lists without a sha256.
//!
//! There is nothing to check their bytes by, so they are passed through unverified and nothing is
//! promised of them: no entity tag, no storing at the client, and a resume is the client's own
//! affair. Where the operator says so (`unhashed_files = "store"`), the first transfer is trusted:
//! the first client gets upstream's own bytes unverified while a second transfer is kept behind it
//! under the sha256 that it turns out to have, and from then on the address is in the catalogue
//! like any other. Must not know which pages list them.

use std::sync::Arc;

use super::Files;
use super::download::pump::{BodyEnd, make_room, pump};
use super::error::FileError;
use super::ranges::{FIRST_BYTE, wanted_range};
use super::relay::begun;
use super::request::{FileReply, WantedPart};
use crate::access::Credential;
use crate::registry::{FileRef, ListedFile, MirrorPath, Route};
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
    /// Passes a file, or a range of it, on as upstream sends it.
    ///
    /// # Errors
    /// Whatever leaves nothing to pass on.
    pub async fn unverified(
        self: &Arc<Self>,
        path: &MirrorPath,
        wanted: WantedPart,
    ) -> Result<FileReply, FileError> {
        if wanted == WantedPart::Whole {
            self.adopt_behind(path);
        }
        let answered = self.ask_unverified(path, wanted).await;
        let answered = answered.map_err(|why| FileError::from(why).about(path.filename().as_str()));
        let is_head = wanted == WantedPart::Head;
        let peer = self.upstream.peer_of(path.scope());
        match answered? {
            FileAnswer::Whole(answer) => {
                let answer = answer.uncoded()?;
                let size = answer.length();
                if is_head {
                    return Ok(FileReply::Unverified { size, body: None });
                }
                let body = Some(begun(answer.body, size, &peer).await?);
                Ok(FileReply::Unverified { size, body })
            }
            FileAnswer::Part(range, answer) => {
                let answer = answer.uncoded()?;
                if is_head {
                    let size = range.whole;
                    return Ok(FileReply::Unverified { size, body: None });
                }
                let body = begun(answer.body, Some(range.bytes()), &peer).await?;
                Ok(FileReply::Partial { range, body })
            }
            FileAnswer::Refused(answer) => Ok(FileReply::PassThrough(answer)),
            FileAnswer::Unsatisfiable(size) => Ok(FileReply::Unsatisfiable { size }),
            FileAnswer::NotModified | FileAnswer::Admitted(_) | FileAnswer::RangeRefused(_) => Err(
                UpstreamError::Unusable("upstream answered a question that was not asked").into(),
            ),
        }
    }

    async fn ask_unverified(
        &self,
        path: &MirrorPath,
        wanted: WantedPart,
    ) -> Result<FileAnswer, UpstreamError> {
        let route = Route::Mirrored(path.clone());
        let anonymous = Credential::anonymous();
        let mut ask = UpstreamRequest::plain(&route, &anonymous);
        let range = match wanted {
            WantedPart::Whole => None,
            WantedPart::Range(range) => Some(range),
            // One byte tells the length of a file whose head alone is wanted.
            WantedPart::Head => Some(FIRST_BYTE),
        };
        match range {
            Some(range) if !self.ranges.none(path.scope()) => {
                let wanted = wanted_range(range);
                match self.ranges.ask(&self.upstream, &mut ask, wanted).await {
                    // All of it may be the answer to a range (RFC 9110 §14.2). Another part than
                    // the one asked for is a broken answer: without a sha256 nothing else would
                    // tell.
                    Ok(FileAnswer::RangeRefused(_)) => {
                        ask.range = None;
                        self.upstream.file(&ask).await
                    }
                    answered => answered,
                }
            }
            Some(_) | None => self.upstream.file(&ask).await,
        }
    }

    /// A listed file with the sha256 that it turned out to have, if it was kept under one.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn known(&self, file: ListedFile) -> Result<ListedFile, FileError> {
        let path = match file {
            ListedFile::Unhashed(path) if self.adopts.contains(path.scope()) => path,
            other => return Ok(other),
        };
        match self.store.catalog.digest_at(&path).await {
            Ok(digest) => Ok(ListedFile::new(path, digest)),
            Err(why) => {
                tracing::warn!(error = %why, "the catalogue cannot be read");
                Err(FileError::Internal)
            }
        }
    }

    /// Keeps the file at this path, behind the answer, once at a time.
    fn adopt_behind(self: &Arc<Self>, path: &MirrorPath) {
        if !self.adopts.contains(path.scope()) {
            return;
        }
        let this = Arc::clone(self);
        let path = path.clone();
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
        let _slot = self.downloads.try_slot().ok_or(AdoptionError::Busy)?;
        let route = Route::Mirrored(path.clone());
        let anonymous = Credential::anonymous();
        let ask = UpstreamRequest::plain(&route, &anonymous);
        let FileAnswer::Whole(answer) = self.upstream.file(&ask).await? else {
            return Err(AdoptionError::NotWhole);
        };
        let answer = answer.uncoded()?;
        // Where nothing else tells, only an announced length tells a whole body from a cut one.
        let size = answer.length().ok_or(AdoptionError::NotWhole)?;
        let (spool, reservation) = make_room(&self.store, Some(size)).await?;
        let pumped = pump(&self.store, answer.body, spool, reservation, 0, || false).await;
        let (spool, reservation) = match pumped.ok_or(StoreError::Interrupted)? {
            (spool, reservation, BodyEnd::Complete) => (spool, reservation),
            (_, _, BodyEnd::Broke(cause)) => return Err(AdoptionError::Body(cause)),
            (_, _, BodyEnd::Abandoned) => return Err(AdoptionError::NotWhole),
        };
        let whole = spool.adopt().map_err(AdoptionError::Body)?;
        let file = FileRef::mirrored(path, whole.digest());
        let entry = CatalogEntry {
            size,
            ..CatalogEntry::default()
        };
        let store = Arc::clone(&self.store);
        let seal = move || {
            let record = || store.catalog.record(&file, entry);
            whole.seal(&store.blobs, reservation, record)
        };
        let sealed = correlation::spawn_blocking(seal).await;
        sealed.map_err(|_| StoreError::Interrupted)??;
        Ok(())
    }
}
