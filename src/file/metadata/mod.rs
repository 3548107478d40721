//! The order of a request for a wheel's metadata (PEP 658).
//!
//! 1. The caller's right to the *wheel* comes first, proven or asked as for the wheel itself: what is kept here shows
//!    to no caller whom GitLab would refuse.
//! 2. Known, and its bytes here: they are the answer.
//! 3. The wheel is here: its metadata is made of it, again or for the first time.
//! 4. Known, but neither is here any more: it was advertised, so it is read again from upstream, by ranges, or with the
//!    whole wheel.
//! 5. Not known: upstream's own, if it has any. If not, it may have been advertised all the same, by another larder of
//!    the same name or by this one before its store was emptied, and a client that was promised metadata stops without
//!    it: the wheel is fetched and verified, and what is in it is the answer; a large one is read by ranges.
//! 6. Upstream's answer, where the wheel yields nothing.
//!
//! Metadata that upstream's own page offers and upstream then has not is made likewise
//! ([`Files::offered_metadata`]), and counts if its sha256 is the one that the page states. Must
//! not know how metadata is made.

pub mod generator;
pub mod prefetch;
pub mod remote;
pub mod required;
pub mod wheel;
mod wheel_reads;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use self::generator::MetadataOutcome;
use self::remote::RemoteError;
use self::wheel::{metadata_of, shared_metadata, verified};
use super::Files;
use super::download::tail_first::TailFirst;
use super::error::FileError;
use super::request::{FileReply, FileRequest, FileSource, NoReply, WantedPart};
use crate::access::{Caller, Permit};
use crate::registry::{FileRef, Route};
use crate::simple::WheelFilename;
use crate::store::{Blob, BlobLookup, Cause};
use crate::upstream::{PassThrough, UpstreamError, UpstreamRequest, Validators};
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::clock;
use crate::values::digest::Digest;
use crate::wheel::TAIL_BYTES;

/// So many downloads in the names of others may end in their refusal before a caller is told to
/// come again.
const REFUSALS_OF_OTHERS_MAX: usize = 4;

impl Files {
    /// Answers a request for the metadata of the wheel that it names: with an [`FileReply::Open`]
    /// of a whole blob, whatever was wanted of it, or with GitLab's answer.
    ///
    /// # Errors
    /// When there are no right bytes to be had of what was advertised.
    pub async fn metadata(
        self: &Arc<Self>,
        request: FileRequest,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        let filename = request.file.filename.clone();
        let found = self.found_metadata(&request, now).await;
        found.map_err(|why| why.about(&format!("{}.metadata", filename.as_str())))
    }

    async fn found_metadata(
        self: &Arc<Self>,
        request: &FileRequest,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        if !self.generator.config.generate {
            return self.upstream_metadata(request).await;
        }
        match self.own_metadata(request, now).await {
            Ok(OwnMetadata::Found(reply) | OwnMetadata::Nothing(Some(reply))) => Ok(reply),
            Ok(OwnMetadata::Nothing(None)) => self.upstream_metadata(request).await,
            Err(other) => other.into_reply(),
        }
    }

    /// Answers a request for metadata that upstream's page offers, of this wheel: as a request for
    /// any file, and if upstream has it not after all, of the wheel.
    ///
    /// # Errors
    /// When there are no right bytes to be had.
    pub async fn offered_metadata(
        self: &Arc<Self>,
        request: FileRequest,
        wheel: FileRef,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        let wanted = request.wanted;
        let stated = request.file.digest;
        let of_wheel = FileRequest {
            file: wheel,
            wanted: WantedPart::Whole,
            ..request.clone()
        };
        let theirs = self.file(request, now).await;
        if !Self::is_lacking(&theirs) || !self.generator.config.generate {
            return theirs;
        }
        let Ok(OwnMetadata::Found(own)) = self.own_metadata(&of_wheel, now).await else {
            return theirs;
        };
        match &own {
            FileReply::Open {
                source: FileSource::Blob(blob),
                ..
            } if blob.digest() == stated => {}
            _ => return theirs,
        }
        Ok(if wanted == WantedPart::Head {
            own.head()
        } else {
            own
        })
    }

    /// Whether upstream, of a file that a page of it offers, says in effect that it has none. A
    /// caller that is not known, or comes too often, is told of something else.
    pub fn is_lacking(theirs: &Result<FileReply, FileError>) -> bool {
        let of_the_caller = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        match theirs {
            Ok(FileReply::PassThrough(answer)) => {
                answer.status.is_client_error() && !of_the_caller.contains(&answer.status)
            }
            Err(FileError::Upstream(why)) => !matches!(
                why,
                UpstreamError::Offline | UpstreamError::Loop | UpstreamError::ServiceToken(..)
            ),
            _ => false,
        }
    }

    /// What larder itself has.
    async fn own_metadata(
        self: &Arc<Self>,
        request: &FileRequest,
        now: Instant,
    ) -> Result<OwnMetadata, NoReply> {
        let who = request.caller.fingerprint();
        self.prefetcher.note_request(who, &request.file);
        let held = self.held(&request.file, now).await;
        let validators = match &held {
            Some((_, validators)) => validators.clone(),
            None => Validators::default(),
        };
        let standing = self.standing(request, now);
        let (permit, asked) = self.authorize(request, standing, validators).await?;
        let known = self.generator.known(&request.file).await;
        if let Some(blob) = self.metadata_blob(known, now).await {
            let status = asked.unwrap_or(CacheStatus::HIT);
            return Ok(OwnMetadata::Found(opened(permit, blob, status)));
        }
        if let Some((wheel, _)) = held
            && let Ok(wheel) = verified(wheel).await
        {
            let made = self.generator.of_wheel(&request.file, wheel).await;
            return Ok(match self.metadata_blob(made, now).await {
                Some(blob) => {
                    let status = asked.unwrap_or(CacheStatus::HIT);
                    OwnMetadata::Found(opened(permit, blob, status))
                }
                None => OwnMetadata::Nothing(None),
            });
        }
        let theirs = if self.is_larders(request, known) {
            None
        } else {
            let theirs = self.upstream_metadata(request).await;
            if !Self::is_lacking(&theirs) || !is_wheel(request) {
                return Ok(OwnMetadata::Found(theirs?));
            }
            theirs.ok()
        };
        match self.regenerated(request, known.is_some(), now).await {
            MetadataOutcome::Generated(digest) => {
                let blob = self.metadata_blob(Some(digest), clock::now()).await;
                let blob = blob.ok_or(FileError::Internal)?;
                let status = asked.unwrap_or(CacheStatus::new(Outcome::Miss));
                Ok(OwnMetadata::Found(opened(permit, blob, status)))
            }
            other => self.without_blob(request, other, theirs),
        }
    }

    /// Whether larder answers for metadata that is not here. What larder advertised is not
    /// upstream's, and what a mirror's page does not offer the mirror has not.
    fn is_larders(&self, request: &FileRequest, known: Option<Digest>) -> bool {
        is_wheel(request) && (known.is_some() || request.file.scope.is_mirror())
    }

    /// What an attempt comes to that left no metadata in the store.
    fn without_blob(
        &self,
        request: &FileRequest,
        outcome: MetadataOutcome,
        theirs: Option<FileReply>,
    ) -> Result<OwnMetadata, NoReply> {
        match outcome {
            MetadataOutcome::Nothing => Ok(OwnMetadata::Nothing(theirs)),
            MetadataOutcome::Refused(answer) => Err(self.refused(request, answer, clock::now())),
            // There is no wheel of this sha256, and so nothing to say of it.
            MetadataOutcome::Failed(
                FileError::Body(Cause::WrongDigest | Cause::Long) | FileError::Blocked,
            ) if theirs.is_some() => Ok(OwnMetadata::Nothing(theirs)),
            MetadataOutcome::Unkept(metadata) => Ok(OwnMetadata::Found(unkept(metadata))),
            // What could not be stored here may be had there.
            MetadataOutcome::Failed(FileError::Internal) if theirs.is_some() => {
                Ok(OwnMetadata::Nothing(theirs))
            }
            MetadataOutcome::RefusedToAnother => Err(FileError::Busy.into()),
            MetadataOutcome::Failed(why) => Err(why.into()),
            MetadataOutcome::Generated(_) => Err(FileError::Internal.into()),
        }
    }

    /// Makes the metadata of a wheel that is not here, once for all who want it.
    async fn regenerated(
        self: &Arc<Self>,
        request: &FileRequest,
        advertised: bool,
        now: Instant,
    ) -> MetadataOutcome {
        if self.bad_digests.is_blocked(&request.file, now) {
            return MetadataOutcome::Failed(FileError::Blocked);
        }
        for _ in 0..REFUSALS_OF_OTHERS_MAX {
            let this = Arc::clone(self);
            let file = request.file.clone();
            let caller = request.caller.clone();
            let work = move || async move { this.regenerate(&file, &caller, advertised).await };
            let Some(shared) = self.regenerating.run(request.file.clone(), work).await else {
                return MetadataOutcome::Failed(FileError::Internal);
            };
            match shared.value {
                // Another caller was refused, which says nothing about this one.
                MetadataOutcome::Refused(_) if shared.joined => {}
                MetadataOutcome::RefusedToAnother => {}
                outcome => return outcome,
            }
        }
        MetadataOutcome::RefusedToAnother
    }

    /// Reads ahead, in this caller's name, the metadata of the first few of these wheels that have
    /// none yet. A mirror knows no callers, and its files are asked for without a credential: so
    /// are their ends.
    pub fn prefetch(&self, caller: &Caller, mut wheels: Vec<FileRef>) {
        // Of these metadata is made of the whole wheel alone.
        wheels.retain(|wheel| self.upstream.is_named_by_operator(wheel));
        if wheels.first().is_some_and(|wheel| wheel.scope.is_mirror()) {
            return self.prefetcher.queue(&Caller::anonymous(), wheels);
        }
        self.prefetcher.queue(caller, wheels);
    }

    /// Wheels in the queue to be read ahead, or being read.
    pub fn prefetching(&self) -> usize {
        self.prefetcher.len()
    }

    /// The blob of this metadata, checked. Damaged bytes count as absent.
    async fn metadata_blob(&self, metadata: Option<Digest>, now: Instant) -> Option<Arc<Blob>> {
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

    /// By ranges what was advertised, or is of a wheel that is too large to be fetched for it; with
    /// the whole wheel everything else.
    async fn regenerate(
        self: &Arc<Self>,
        file: &FileRef,
        caller: &Caller,
        advertised: bool,
    ) -> MetadataOutcome {
        if let Some(digest) = shared_metadata(&self.downloads, file).await {
            return MetadataOutcome::Generated(digest);
        }
        let fetched_max = self.config.background_fetch_max.0;
        let whole_max = match self.generator.can_keep(clock::now()) {
            true if advertised => Some(0),
            true => Some(fetched_max),
            false => None,
        };
        // Nothing tells whether the end of a wheel is the verified wheel's.
        if !self.upstream.is_named_by_operator(file) {
            return self.with_whole_wheel(file, caller).await;
        }
        let credential = caller.credential();
        let read = if let Some(task) = self.downloads.claim(file, caller) {
            task.read_tail(TAIL_BYTES, whole_max).await
        } else if self.is_running_and_larger(file, fetched_max) {
            let tail = self.generator.tail(file, credential, TAIL_BYTES).await;
            tail.map(TailFirst::Tail)
        } else {
            return self.with_whole_wheel(file, caller).await;
        };
        let read = match read {
            Ok(TailFirst::Whole(download, _handle)) => {
                return metadata_of(&self.downloads, file, &download, true).await;
            }
            Ok(TailFirst::Tail(tail)) => self.generator.of_tail(file, credential, &tail).await,
            Err(why) => Err(why),
        };
        match read {
            Ok(digest) => MetadataOutcome::Generated(digest),
            Err(RemoteError::Unreadable(why)) if !advertised => {
                tracing::info!(wheel = %file.filename, error = %why, "a wheel yields no metadata");
                MetadataOutcome::Nothing
            }
            Err(RemoteError::Refused(answer)) => MetadataOutcome::Refused(answer),
            Err(RemoteError::Unkept(metadata)) => MetadataOutcome::Unkept(metadata),
            Err(why) => {
                tracing::info!(wheel = %file.filename, error = %why, "its metadata comes with the whole wheel");
                self.with_whole_wheel(file, caller).await
            }
        }
    }

    fn is_running_and_larger(&self, file: &FileRef, bytes: u64) -> bool {
        let Some(download) = self.downloads.running(file) else {
            return false;
        };
        download.size().is_some_and(|size| size > bytes)
    }

    async fn with_whole_wheel(&self, file: &FileRef, caller: &Caller) -> MetadataOutcome {
        let (download, _handle, leads) = self.downloads.join_or_start(file, caller);
        metadata_of(&self.downloads, file, &download, leads).await
    }

    async fn upstream_metadata(&self, request: &FileRequest) -> Result<FileReply, FileError> {
        if !self.upstream.is_named_by_operator(&request.file) {
            return Ok(FileReply::PassThrough(not_listed()));
        }
        let route = Route::Metadata(request.file.clone());
        let ask = UpstreamRequest::by(&route, &request.caller);
        Ok(FileReply::PassThrough(self.upstream.pass(&ask).await?))
    }
}

fn is_wheel(request: &FileRequest) -> bool {
    WheelFilename::parse(request.file.filename.as_str()).is_some()
}

/// Metadata that could not be kept, for a caller whose right is proven.
fn unkept(metadata: Bytes) -> FileReply {
    let kind = HeaderValue::from_static("application/octet-stream");
    FileReply::PassThrough(PassThrough {
        status: StatusCode::OK,
        reason: None,
        headers: HeaderMap::from_iter([(CONTENT_TYPE, kind)]),
        body: metadata,
    })
}

/// In place of metadata that nothing could be checked by.
fn not_listed() -> PassThrough {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    PassThrough {
        status: StatusCode::NOT_FOUND,
        reason: None,
        headers: HeaderMap::from_iter([(CONTENT_TYPE, text)]),
        body: Bytes::from_static(b"no page lists this metadata with a sha256\n"),
    }
}

fn opened(permit: Permit, blob: Arc<Blob>, status: CacheStatus) -> FileReply {
    FileReply::Open {
        permit,
        size: Some(blob.size()),
        source: FileSource::Blob(blob),
        status,
    }
}

/// What larder itself has of a wheel's metadata.
enum OwnMetadata {
    Found(FileReply),
    /// Nothing, and upstream's answer if that was asked already.
    Nothing(Option<FileReply>),
}
