//! The order of a request for a wheel's metadata (PEP 658).
//!
//! 1. The caller's right to the *wheel* comes first, proven or asked as for the wheel itself: what is kept here shows
//!    to nobody whom GitLab would refuse.
//! 2. Known, and its bytes here: they are the answer.
//! 3. The wheel is here: its metadata is made of it, again or for the first time.
//! 4. Known, but neither is here any more: it was advertised, so it is read again from upstream, by spans, or with the
//!    whole wheel.
//! 5. Not known: upstream's own, if it has any. If not, it may have been advertised all the same, by another larder of
//!    the same name or by this one before its store was emptied, and a client that was promised metadata stops without
//!    it: the wheel is fetched and verified, and what is in it is the answer; a large one is read by spans.
//! 6. Upstream's word, where the wheel yields nothing.
//!
//! Metadata that upstream's own page offers and upstream then has not is made likewise ([`Files::offered`]), and counts
//! if its sha256 is the one that the page states. Must not know how metadata is made.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::landed::{made_of, verified};
use super::look::Look;
use super::metadata::Remade;
use super::spans::SpansError;
use super::{FileError, FileReply, FileRequest, Files, Source, Wanted};
use crate::access::{Authorization, Caller, Permit};
use crate::registry::{FileRef, Route};
use crate::simple::WheelFilename;
use crate::store::{Blob, BlobLookup, Cause};
use crate::upstream::{PassThrough, UpstreamError, UpstreamRequest, Validators};
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::clock;
use crate::values::digest::Digest;

/// So many downloads in the names of others may end in their refusal before a caller is told to come again.
const REFUSALS_OF_OTHERS_MAX: usize = 4;

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

    /// Answers a request for metadata that upstream's page offers, of this wheel: as a request for any file, and if upstream
    /// has it not after all, of the wheel.
    ///
    /// # Errors
    /// When there are no right bytes to be had.
    pub async fn offered(
        self: &Arc<Self>,
        request: FileRequest,
        wheel: FileRef,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        let (wanted, stated) = (request.wanted, request.file.digest);
        let in_place = FileRequest {
            file: wheel,
            wanted: Wanted::Whole,
            ..request.clone()
        };
        let theirs = self.file(request, now).await;
        if !Self::is_lacking(&theirs) || !self.maker.config().generate {
            return theirs;
        }
        match self.own_sidecar(&in_place, now).await {
            Ok(Own::Reply(FileReply::Open {
                source: Source::Blob(blob),
                permit,
                size,
                status,
            })) if blob.digest() == stated => {
                let found = FileReply::Open {
                    permit,
                    source: Source::Blob(blob),
                    size,
                    status,
                };
                Ok(if wanted == Wanted::Head {
                    found.head()
                } else {
                    found
                })
            }
            _ => theirs,
        }
    }

    /// Whether upstream, of a file that a page of it offers, says in effect that it has none. A caller that is not known, or
    /// comes too often, is told of something else.
    pub fn is_lacking(theirs: &Result<FileReply, FileError>) -> bool {
        let of_the_caller = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        match theirs {
            Ok(FileReply::PassThrough(word)) => {
                word.status.is_client_error() && !of_the_caller.contains(&word.status)
            }
            Err(FileError::Upstream(why)) => !matches!(
                why,
                UpstreamError::Offline | UpstreamError::Loop | UpstreamError::ServiceToken(_)
            ),
            _ => false,
        }
    }

    async fn found_sidecar(
        self: &Arc<Self>,
        request: FileRequest,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        if !self.maker.config().generate {
            return self.upstreams_word(&request).await;
        }
        match self.own_sidecar(&request, now).await? {
            Own::Reply(reply) => Ok(reply),
            Own::Nothing(Some(word)) => Ok(word),
            Own::Nothing(None) => self.upstreams_word(&request).await,
        }
    }

    /// What larder itself has to say.
    async fn own_sidecar(
        self: &Arc<Self>,
        request: &FileRequest,
        now: Instant,
    ) -> Result<Own, FileError> {
        self.ahead.sign(request.caller.fingerprint(), &request.file);
        let held = self.held(&request.file, now).await;
        let (permit, status) =
            match self
                .access
                .file(request.caller.fingerprint(), &request.file, now)
            {
                Authorization::Proven(permit) => (permit, None),
                Authorization::Unproven => {
                    let validators = held
                        .as_ref()
                        .map_or_else(Validators::default, |(_, known)| known.clone());
                    match self.question(request, validators).await? {
                        Ok((permit, answer)) => (
                            permit,
                            Some(CacheStatus::answered(Outcome::Authorized, answer.as_u16())),
                        ),
                        Err(refusal) => return Ok(Own::Reply(FileReply::PassThrough(refusal))),
                    }
                }
            };
        let known = self.maker.known(&request.file).await;
        if let Some(blob) = self.kept(known, now).await {
            return Ok(Own::Reply(answer(
                permit,
                blob,
                status.unwrap_or(CacheStatus::HIT),
            )));
        }
        if let Some((wheel, _)) = held
            && let Ok(wheel) = verified(wheel).await
        {
            let made = self.maker.of_wheel(&request.file, wheel).await;
            return Ok(match self.kept(made, now).await {
                Some(blob) => Own::Reply(answer(permit, blob, status.unwrap_or(CacheStatus::HIT))),
                None => Own::Nothing(None),
            });
        }
        let word = match self.is_upstreams(request, known).await {
            Upstreams::Word(theirs) => return theirs.map(Own::Reply),
            Upstreams::Lacking(word) => word,
        };
        match self.remade(request, known.is_some(), now).await {
            Remade::As(digest) => {
                let blob = self
                    .kept(Some(digest), clock::now())
                    .await
                    .ok_or(FileError::Internal)?;
                Ok(Own::Reply(answer(
                    permit,
                    blob,
                    status.unwrap_or(CacheStatus::new(Outcome::Miss)),
                )))
            }
            Remade::Nothing => Ok(Own::Nothing(word)),
            Remade::Refused(relayed) => {
                self.refused(request, &relayed, clock::now());
                Ok(Own::Reply(FileReply::PassThrough(relayed)))
            }
            // There is no wheel of this sha256, and so nothing to say of it.
            Remade::Failed(
                FileError::Body(Cause::WrongDigest | Cause::Long) | FileError::Shunned,
            ) if word.is_some() => Ok(Own::Nothing(word)),
            Remade::Unkept(metadata) => Ok(Own::Reply(unkept(metadata))),
            // What could not be stored here may be had there.
            Remade::Failed(FileError::Internal) if word.is_some() => Ok(Own::Nothing(word)),
            Remade::RefusedToAnother => Err(FileError::Busy),
            Remade::Failed(why) => Err(why),
        }
    }

    /// Whether it is upstream's to answer for metadata that is not here. What larder advertised is not, and what a mirror's
    /// page does not offer the mirror has not.
    async fn is_upstreams(&self, request: &FileRequest, known: Option<Digest>) -> Upstreams {
        let is_wheel = WheelFilename::parse(request.file.filename.as_str()).is_some();
        if is_wheel && (known.is_some() || request.file.scope.is_mirror()) {
            return Upstreams::Lacking(None);
        }
        let theirs = self.upstreams_word(request).await;
        if is_wheel && Self::is_lacking(&theirs) {
            Upstreams::Lacking(theirs.ok())
        } else {
            Upstreams::Word(theirs)
        }
    }

    /// Makes the metadata of a wheel that is not here, once for all who want it.
    async fn remade(
        self: &Arc<Self>,
        request: &FileRequest,
        advertised: bool,
        now: Instant,
    ) -> Remade {
        if self.suspects.shunned(&request.file, now) {
            return Remade::Failed(FileError::Shunned);
        }
        for _ in 0..REFUSALS_OF_OTHERS_MAX {
            let this = Arc::clone(self);
            let file = request.file.clone();
            let caller = request.caller.clone();
            let work = move || async move { this.remake(&file, &caller, advertised).await };
            let Some(landed) = self.remaking.run(request.file.clone(), work).await else {
                return Remade::Failed(FileError::Internal);
            };
            match landed.value {
                // Somebody else was refused, which says nothing about this caller.
                Remade::Refused(_) if landed.joined => {}
                Remade::RefusedToAnother => {}
                remade => return remade,
            }
        }
        Remade::RefusedToAnother
    }

    /// Reads ahead, in this caller's name, the metadata of the first few of these wheels that have none yet. A mirror knows
    /// no callers, and its files are asked for in nobody's name: so are their ends.
    pub fn read_ahead(&self, caller: &Caller, wheels: Vec<FileRef>) {
        if wheels.first().is_some_and(|wheel| wheel.scope.is_mirror()) {
            return self.ahead.queue(&Caller::anonymous(), wheels);
        }
        self.ahead.queue(caller, wheels);
    }

    /// Wheels in line to be read ahead, or being read.
    pub fn reading_ahead(&self) -> usize {
        self.ahead.len()
    }

    /// The blob of this metadata, checked. Damaged bytes count as absent.
    async fn kept(&self, metadata: Option<Digest>, now: Instant) -> Option<Arc<Blob>> {
        let metadata = metadata?;
        match self.store.blobs.open(metadata, now).ok()? {
            BlobLookup::Whole(blob) => return Some(blob),
            BlobLookup::Checking(partial) => drop(partial.begin(true).await.ok()?),
            BlobLookup::Absent => return None,
        }
        match self.store.blobs.open(metadata, now).ok()? {
            BlobLookup::Whole(blob) => Some(blob),
            BlobLookup::Checking(_) | BlobLookup::Absent => None,
        }
    }

    /// By spans what was advertised, or is of a wheel that is too large to be fetched for it; with the whole wheel
    /// everything else.
    async fn remake(self: &Arc<Self>, file: &FileRef, caller: &Caller, advertised: bool) -> Remade {
        let fetched_max = self.config.background_fetch_max.0;
        let whole_max = match self.maker.can_keep(clock::now()) {
            true if advertised => Some(0),
            true => Some(fetched_max),
            false => None,
        };
        let running = || self.flights.running(file).and_then(|flight| flight.size());
        let look = match self.flights.enter(file, caller) {
            Some(pilot) => pilot.look(whole_max).await,
            None if running().is_some_and(|size| size > fetched_max) => self
                .maker
                .tail(file, caller.credential())
                .await
                .map(Look::Tail),
            None => {
                let (flight, _ticket, leads) = self.flights.board(file, caller);
                return made_of(&self.maker, file, &flight, leads).await;
            }
        };
        let read = match look {
            Ok(Look::Whole(flight, _ticket)) => {
                return made_of(&self.maker, file, &flight, true).await;
            }
            Ok(Look::Tail(tail)) => self.maker.of_tail(file, caller.credential(), &tail).await,
            Err(why) => Err(why),
        };
        match read {
            Ok(digest) => Remade::As(digest),
            Err(SpansError::Unreadable(why)) if !advertised => {
                tracing::info!(wheel = %file.filename, error = %why, "a wheel yields no metadata");
                Remade::Nothing
            }
            Err(SpansError::Refused(relayed)) => Remade::Refused(relayed),
            Err(SpansError::Unkept(metadata)) => Remade::Unkept(metadata),
            Err(why) => {
                tracing::info!(wheel = %file.filename, error = %why, "its metadata comes with the whole wheel");
                let (flight, _ticket, leads) = self.flights.board(file, caller);
                made_of(&self.maker, file, &flight, leads).await
            }
        }
    }

    async fn upstreams_word(&self, request: &FileRequest) -> Result<FileReply, FileError> {
        let route = Route::Sidecar(request.file.clone());
        let word = self
            .upstream
            .pass(&UpstreamRequest::by(&route, &request.caller))
            .await?;
        Ok(FileReply::PassThrough(word))
    }
}

/// Metadata that could not be kept, for a caller whose right is proven.
fn unkept(metadata: Bytes) -> FileReply {
    let headers = [(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    )];
    FileReply::PassThrough(PassThrough {
        status: StatusCode::OK,
        reason: None,
        headers: headers.into_iter().collect(),
        body: metadata,
    })
}

fn answer(permit: Permit, blob: Arc<Blob>, status: CacheStatus) -> FileReply {
    FileReply::Open {
        permit,
        size: Some(blob.size()),
        source: Source::Blob(blob),
        status,
    }
}

/// What larder itself has of a wheel's metadata.
enum Own {
    Reply(FileReply),
    /// Nothing, and upstream's word if that was asked already.
    Nothing(Option<FileReply>),
}

/// What upstream has of it.
enum Upstreams {
    Word(Result<FileReply, FileError>),
    Lacking(Option<FileReply>),
}
