//! The order of a request for a wheel's metadata (PEP 658).
//!
//! 1. The caller's right to the *wheel* comes first, proven or asked as for the wheel itself: what is kept here shows
//!    to nobody whom GitLab would refuse.
//! 2. Known, and its bytes here: they are the answer.
//! 3. The wheel is here: its metadata is made of it, again or for the first time.
//! 4. Known, but neither is here any more: it was advertised, so it is read again from upstream, by spans, or with the
//!    whole wheel.
//! 5. Otherwise larder never said a word about it, and GitLab's own is passed on.
//!
//! Must not know how metadata is made.

use std::sync::Arc;
use std::time::Instant;

use super::flight::Head;
use super::metadata::{Remade, Verified};
use super::{FileError, FileReply, FileRequest, Files, Source, asked_by};
use crate::access::{Credential, Fingerprint, Permit, Standing};
use crate::cache_status::{CacheStatus, Outcome};
use crate::clock;
use crate::digest::Digest;
use crate::registry::{FileRef, Route};
use crate::store::{Blob, Held};
use crate::upstream::Validators;

impl Files {
    /// Answers a request for the metadata of the wheel that it names: with an [`FileReply::Open`] of a whole blob,
    /// whatever was wanted of it, or with GitLab's word.
    ///
    /// # Errors
    /// When there are no right bytes to be had of what was advertised.
    pub async fn sidecar(
        self: &Arc<Self>,
        request: FileRequest,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        let wheel = request.file.filename.clone();
        let found = self.found_sidecar(request, now).await;
        found.map_err(|why| why.about(&format!("{}.metadata", wheel.as_str())))
    }

    async fn found_sidecar(
        self: &Arc<Self>,
        request: FileRequest,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        if !self.maker.config().make {
            return self.upstreams_word(&request).await;
        }
        let held = self.held(&request.file, now).await;
        let (permit, status) = match self.access.file(request.who, &request.file, now) {
            Standing::Proven(permit) => (permit, None),
            Standing::Unproven => {
                let validators = held.as_ref().map_or_else(Validators::default, |(_, known)| known.clone());
                match self.question(&request, validators).await? {
                    Ok((permit, answer)) => {
                        (permit, Some(CacheStatus::answered(Outcome::Asked, answer.as_u16())))
                    }
                    Err(refusal) => return Ok(FileReply::Relayed(refusal)),
                }
            }
        };
        let known = self.maker.known(&request.file).await;
        if let Some(blob) = self.kept(known, now).await {
            return Ok(answer(permit, blob, status.unwrap_or(CacheStatus::HIT)));
        }
        if let Some(wheel) = verified(held).await {
            let made = self.maker.of_wheel(&request.file, wheel).await;
            return match self.kept(made, now).await {
                Some(blob) => Ok(answer(permit, blob, status.unwrap_or(CacheStatus::HIT))),
                None => self.upstreams_word(&request).await,
            };
        }
        if known.is_none() {
            return self.upstreams_word(&request).await;
        }
        let (this, file, credential) = (Arc::clone(self), request.file.clone(), request.credential.clone());
        let who = request.who;
        let work = move || async move { this.remake(&file, &credential, who).await };
        let landed = self.remaking.run(request.file.clone(), work).await.ok_or(FileError::Internal)?;
        let remade = match landed.value {
            // Somebody else was refused, which says nothing about this caller.
            Remade::Refused(_) if landed.joined => {
                self.remake(&request.file, &request.credential, request.who).await
            }
            remade => remade,
        };
        match remade {
            Remade::As(digest) => {
                let blob = self.kept(Some(digest), clock::now()).await.ok_or(FileError::Internal)?;
                Ok(answer(permit, blob, status.unwrap_or(CacheStatus::new(Outcome::Miss))))
            }
            Remade::Nothing => self.upstreams_word(&request).await,
            Remade::Refused(relayed) => {
                self.refused(&request, &relayed, clock::now());
                Ok(FileReply::Relayed(relayed))
            }
            Remade::Failed(why) => Err(why),
        }
    }

    /// Reads ahead, in this caller's name, the metadata of the first few of these wheels that have none yet.
    pub fn read_ahead(&self, credential: &Credential, who: Fingerprint, wheels: Vec<FileRef>) {
        self.ahead.queue(credential, who, wheels);
    }

    /// Wheels in line to be read ahead, or being read.
    pub fn reading_ahead(&self) -> usize {
        self.ahead.len()
    }

    /// The blob of this metadata, checked. Damaged bytes count as absent.
    async fn kept(&self, metadata: Option<Digest>, now: Instant) -> Option<Arc<Blob>> {
        let metadata = metadata?;
        match self.store.blobs.open(metadata, now).ok()? {
            Held::Whole(blob) => return Some(blob),
            Held::Checking(growing) => drop(growing.begin(true).await.ok()?),
            Held::Absent => return None,
        }
        match self.store.blobs.open(metadata, now).ok()? {
            Held::Whole(blob) => Some(blob),
            Held::Checking(_) | Held::Absent => None,
        }
    }

    async fn remake(self: &Arc<Self>, file: &FileRef, credential: &Credential, who: Fingerprint) -> Remade {
        match self.maker.of_spans(file, credential).await {
            Ok(digest) => return Remade::As(digest),
            Err(why) => {
                tracing::info!(wheel = %file.filename, %why, "its metadata comes with the whole wheel")
            }
        }
        let (flight, _ticket, _) = self.flights.board(file, credential, who);
        let wheel = match flight.head().await {
            Head::Flying { growing, .. } => verified(Some((Source::Growing(growing, None), ()))).await,
            Head::Here => self.maker.held(file, clock::now()).await,
            Head::Refused(relayed) => return Remade::Refused(relayed),
            Head::Unstorable(_) => None,
            Head::Failed(why) => return Remade::Failed(why),
        };
        let Some(wheel) = wheel else { return Remade::Failed(FileError::Internal) };
        self.maker.of_wheel(file, wheel).await.map_or(Remade::Nothing, Remade::As)
    }

    async fn upstreams_word(&self, request: &FileRequest) -> Result<FileReply, FileError> {
        let route = Route::Sidecar(request.file.clone());
        let word = self.upstream.pass(&asked_by(request, &route)).await?;
        Ok(FileReply::Relayed(word))
    }
}

fn answer(permit: Permit, blob: Arc<Blob>, status: CacheStatus) -> FileReply {
    FileReply::Open { permit, size: Some(blob.size()), source: Source::Blob(blob), status }
}

/// The wheel's bytes, once every one of them is here and right.
async fn verified<T>(held: Option<(Source, T)>) -> Option<Verified> {
    match held?.0 {
        Source::Blob(blob) => Some((Arc::clone(blob.file()), blob.size())),
        Source::Growing(growing, _) => {
            let size = growing.begin(true).await.ok()??;
            Some((Arc::clone(growing.file()), size))
        }
    }
}
