//! Distributions: fetched once, streamed behind a watermark, verified before they end, to those who
//! may.
//!
//! The order for one request, each step a branch of [`Files::file`]:
//!
//! 1. Cached (this address is in the catalogue and its blob on disk): a caller whose right stands gets it; the own request
//!    of any other caller goes upstream with the stored validators and is the question.
//! 2. Cold and whole: one download per address fetches; the first caller's request *is* the download's, later callers
//!    prove their right by a small question with the download's validators, then read along.
//! 3. Cold, a range or only the head: upstream's own 206 is passed on, uncached, and the file is fetched behind it, if it
//!    is small enough. A caller that reads a wheel's metadata so gets the wheel's end with the head.
//!
//! Cached means *by address*: a blob that came from one address is never shown at another that
//! has not itself yielded these bytes, because GitLab does not check the digests uploaders declare.
//! Must not know pages or HTTP statuses of our own.

mod authorize;
mod bad_digests;
mod checked_body;
mod config;
mod download;
mod error;
mod metadata;
mod ranges;
mod relay;
mod relay_end;
mod request;
mod shared;
mod stored;
mod unhashed;
mod wheel_ends;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use crate::access::{Access, Authorization, Fingerprint, Permit};
use crate::registry::{FileRef, MirrorPath, Route, Scope};
use crate::store::{Cause, Store};
use crate::upstream::{
    FileAnswer, SharedStoreError, Upstream, UpstreamRequest, UpstreamResponse, Validators,
};
use crate::values::byte_range::ByteRange;
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::single_flight::SingleFlight;

use bad_digests::BadDigests;
pub use checked_body::CheckedBody;
pub use config::{FilesConfig, MetadataConfig};
use download::continuation::Continuation;
pub use download::counts::DownloadCounts;
pub use download::progress::DownloadProgress;
use download::{Download, DownloadStart, Downloads};
pub use download::{DownloadHandle, FileDependencies, RunningDownloads};
pub use error::FileError;
use metadata::generator::{MetadataGenerator, MetadataOutcome};
use metadata::prefetch::Prefetcher;
use ranges::Ranges;
use request::{AccessAnswer, NoReply};
pub use request::{FileReply, FileRequest, FileSource, WantedPart};
pub use shared::{Distrusted, SharedStoreCounts, SharedStoreReading, UploadEnd};
use stored::stored;
use wheel_ends::WheelEnds;

/// By caller, file, and the generation of rights in which they were begun.
type QuestionKey = (Fingerprint, FileRef, u64);

pub struct Files {
    config: FilesConfig,
    upstream: Arc<Upstream>,
    access: Arc<Access>,
    store: Arc<Store>,
    downloads: Arc<Downloads>,
    bad_digests: Arc<BadDigests>,
    questions: Arc<SingleFlight<QuestionKey, AccessAnswer>>,
    generator: Arc<MetadataGenerator>,
    ranges: Arc<Ranges>,
    wheel_ends: Arc<WheelEnds>,
    prefetcher: Arc<Prefetcher>,
    regenerating: Arc<SingleFlight<FileRef, MetadataOutcome>>,
    /// Mirrors whose files without a sha256 are kept.
    adopts: HashSet<Scope>,
    adopting: Arc<SingleFlight<MirrorPath, ()>>,
}

/// The numbers of this room at a moment.
#[derive(Clone, Debug, Default)]
pub struct FilesReading {
    /// Readers that came to a download under way.
    pub joined: u64,
    /// Downloads that ended, by how: a word of a closed set.
    pub ended: Vec<(&'static str, u64)>,
    /// Bodies that were not what their address promises.
    pub wrong_bodies: u64,
    /// Addresses that are blocked because of such bodies.
    pub blocked: u64,
    /// None without a shared store.
    pub shared_store: Option<SharedStoreReading>,
}

/// Rounds of "look again": a blob found damaged, a leader refused. Each has its cause gone the next
/// time.
const ROUNDS_MAX: usize = 4;

impl Files {
    /// `adopts` are the mirrors whose files without a sha256 are kept under the one they turn out
    /// to have.
    pub fn new(
        config: FilesConfig,
        metadata: MetadataConfig,
        adopts: HashSet<Scope>,
        dependencies: FileDependencies,
    ) -> Arc<Self> {
        let upstream = Arc::clone(&dependencies.upstream);
        let access = Arc::clone(&dependencies.access);
        let store = Arc::clone(&dependencies.store);
        let bad_digests = Arc::new(BadDigests::new(Arc::clone(&dependencies.counts)));
        let ranges = Arc::new(Ranges::new());
        let generator = Arc::new(MetadataGenerator::new(
            metadata,
            Arc::clone(&upstream),
            Arc::clone(&store),
            Arc::clone(&ranges),
        ));
        let downloads = Downloads::new(
            config,
            dependencies,
            Arc::clone(&bad_digests),
            Arc::clone(&generator),
            Arc::clone(&ranges),
        );
        Arc::new(Self {
            config,
            upstream,
            access,
            store,
            bad_digests,
            questions: SingleFlight::new(),
            prefetcher: Prefetcher::new(Arc::clone(&downloads)),
            downloads,
            generator,
            ranges,
            wheel_ends: Arc::new(WheelEnds::new()),
            regenerating: SingleFlight::new(),
            adopts,
            adopting: SingleFlight::new(),
        })
    }

    /// Returns when every file of which a client has the last byte is in the store, before the
    /// process stops.
    pub async fn flush(&self) {
        self.downloads.flush().await;
    }

    /// Downloads under way.
    pub fn downloading(&self) -> usize {
        self.downloads.len()
    }

    /// How downloads went, and what upstream sent that was wrong.
    pub fn reading(&self, now: Instant) -> FilesReading {
        let counts = &self.downloads.counts;
        FilesReading {
            joined: counts.readers_joined(),
            ended: counts.endings(),
            wrong_bodies: counts.wrong_bodies(),
            blocked: self.bad_digests.blocked(now),
            shared_store: self
                .downloads
                .shared
                .as_ref()
                .map(|shared| shared.reading(now)),
        }
    }

    /// Begins to upload what waits for the shared store. A command that only works on the folder
    /// leaves it to the daemon that comes after it.
    pub fn start_uploads(&self) {
        if let Some(shared) = &self.downloads.shared {
            shared.start_uploads();
        }
    }

    /// Uploads a file that is here to the shared store, if it is not there.
    ///
    /// # Errors
    /// What kept it from being there.
    pub async fn share(&self, file: &FileRef) -> Result<UploadEnd, SharedStoreError> {
        let shared = self.downloads.shared.as_ref();
        shared.ok_or(SharedStoreError::None)?.upload_now(file).await
    }

    /// Whether this larder writes to a shared store.
    ///
    /// # Errors
    /// Why it does not.
    pub fn writes_shared(&self) -> Result<(), SharedStoreError> {
        let shared = self.downloads.shared.as_ref();
        shared.ok_or(SharedStoreError::None)?.writes()
    }

    /// Takes back what the shared store says of an address.
    ///
    /// # Errors
    /// When it may still say it.
    pub async fn take_back(&self, file: &FileRef) -> Result<(), SharedStoreError> {
        let shared = self.downloads.shared.as_ref();
        shared.ok_or(SharedStoreError::None)?.take_back(file).await
    }

    /// The same one by one, in no order.
    pub fn downloads(&self, now: Instant) -> Vec<DownloadProgress> {
        self.downloads.progress(now)
    }

    /// Answers a request for a file.
    ///
    /// # Errors
    /// When there are no right bytes to be had.
    pub async fn file(
        self: &Arc<Self>,
        request: FileRequest,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        let who = request.caller.fingerprint();
        self.prefetcher.note_request(who, &request.file);
        let found = self.found(&request, now).await;
        found.map_err(|why| why.about(request.file.filename.as_str()))
    }

    async fn found(
        self: &Arc<Self>,
        request: &FileRequest,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        let mut status = CacheStatus::HIT;
        for _ in 0..ROUNDS_MAX {
            let standing = self.standing(request, now);
            let round = match self.held(&request.file, now).await {
                Some((source, validators)) => {
                    self.serve_held(request, standing, source, validators, status)
                        .await
                }
                // Larger than what a hit needs.
                None => Box::pin(self.serve_cold(request, standing, now)).await,
            };
            match round {
                Err(NoReply::Again) => status = CacheStatus::new(Outcome::Miss),
                Ok(reply) => return Ok(reply),
                Err(other) => return other.into_reply(),
            }
        }
        // The last resort: the caller's own request, passed through and verified.
        match Box::pin(self.pass_through(request, now)).await {
            Ok(reply) => Ok(reply),
            Err(other) => other.into_reply(),
        }
    }

    /// The bytes, if this address is known to yield them and they are here; and the validators to
    /// ask about it with.
    async fn held(&self, file: &FileRef, now: Instant) -> Option<(FileSource, Validators)> {
        // Before the catalogue: a download that is no longer there has written its line into it.
        if let Some(download) = self.downloads.running(file)
            && let Some((partial, validators)) = download.complete()
        {
            return Some((FileSource::Partial(partial, None), validators));
        }
        stored(&self.store, file, now).await
    }

    async fn serve_held(
        &self,
        request: &FileRequest,
        standing: Authorization,
        source: FileSource,
        validators: Validators,
        status: CacheStatus,
    ) -> Result<FileReply, NoReply> {
        let (permit, asked) = self.authorize(request, standing, validators).await?;
        match open(request, permit, source, asked.unwrap_or(status)).await {
            Ok(reply) => Ok(reply),
            // Found damaged before any client saw a byte: it is set aside by now, and is fetched
            // again.
            Err(_) => Err(NoReply::Again),
        }
    }

    async fn serve_cold(
        self: &Arc<Self>,
        request: &FileRequest,
        standing: Authorization,
        now: Instant,
    ) -> Result<FileReply, NoReply> {
        if self.bad_digests.is_blocked(&request.file, now) {
            self.authorize(request, standing, Validators::default())
                .await?;
            return Err(FileError::Blocked.into());
        }
        let suspect = self.bad_digests.is_suspect(&request.file, now);
        let running = self.downloads.running(&request.file);
        let relays = match request.wanted {
            // A download that tells the length soon; the question would be another.
            WantedPart::Head => running.is_none() || !self.ranges.none(&request.file.scope),
            WantedPart::Whole => false,
            // Where upstream answers no ranges, asking for one is a download thrown away.
            WantedPart::Range(range) => {
                !suspect
                    && self.upstream.is_named_by_operator(&request.file)
                    && !reads_along(request, range, running.as_deref())
                    && !self.ranges.none(&request.file.scope)
            }
        };
        if relays && !self.comes_shared(&request.file).await {
            self.relay(request, standing, running.as_deref(), now).await
        } else {
            self.read_along(request, standing, suspect, now).await
        }
    }

    /// Whether the whole file is soon here from the shared store, so that nothing of it need be asked
    /// of upstream: it would be fetched behind a range in any case.
    async fn comes_shared(&self, file: &FileRef) -> bool {
        let Some(shared) = &self.downloads.shared else {
            return false;
        };
        let size = shared.size(file).await;
        size.is_some_and(|size| size <= self.config.background_fetch_max.0)
    }

    /// Reads along with the one download of this address, starting it if need be.
    async fn read_along(
        self: &Arc<Self>,
        request: &FileRequest,
        standing: Authorization,
        suspect: bool,
        now: Instant,
    ) -> Result<FileReply, NoReply> {
        let (download, handle, leads) =
            self.downloads.join_or_start(&request.file, &request.caller);
        match download.started().await {
            DownloadStart::Streaming {
                partial,
                validators,
                verified_first,
            } => {
                let continuation = Continuation {
                    upstream: Arc::clone(&self.upstream),
                    bad_digests: Arc::clone(&self.bad_digests),
                    file: request.file.clone(),
                    caller: request.caller.clone(),
                    validators: validators.clone(),
                };
                let (permit, outcome) = self
                    .authorize_reader(request, standing, validators, leads, now)
                    .await?;
                let mut request = request.clone();
                // After wrong bytes nothing is promised before it is verified.
                request.needs_length |= suspect || verified_first;
                let source = FileSource::Partial(partial, Some(handle.with(continuation)));
                match open(&request, permit, source, CacheStatus::new(outcome)).await {
                    Ok(reply) => Ok(reply),
                    // No client has seen a byte, and upstream is not to blame.
                    Err(Cause::Disk | Cause::Full) => self.pass_through(&request, now).await,
                    Err(cause) => Err(FileError::Body(cause).into()),
                }
            }
            DownloadStart::Stored => Err(NoReply::Again),
            DownloadStart::Refused(answer) if leads => Err(self.refused(request, answer, now)),
            // Another caller was refused, which says nothing about this one: it asks for itself.
            // Going round unasked could end in one stranger's download after another.
            DownloadStart::Refused(_) => {
                self.question(request, Validators::default()).await?;
                Err(NoReply::Again)
            }
            DownloadStart::Unstorable(answer) if leads => {
                let answer = answer.take().ok_or(FileError::Internal)?;
                let permit = self.admit(request, now);
                self.checked(request, permit, answer).await
            }
            DownloadStart::Unstorable(_) => self.pass_through(request, now).await,
            DownloadStart::Failed(why) => Err(why.into()),
        }
    }

    /// The right to read along with a download that this caller leads, or that another one does.
    /// The download's answer decides for all with the credential that it was asked with.
    async fn authorize_reader(
        &self,
        request: &FileRequest,
        standing: Authorization,
        validators: Validators,
        leads: bool,
        now: Instant,
    ) -> Result<(Permit, Outcome), NoReply> {
        let standing = match standing {
            Authorization::Unproven => self.standing(request, now),
            Authorization::Proven(_) => standing,
        };
        match standing {
            Authorization::Unproven if leads => Ok((self.admit(request, now), Outcome::Miss)),
            Authorization::Proven(permit) if leads => Ok((permit, Outcome::Miss)),
            _ => {
                let (permit, _) = self.authorize(request, standing, validators).await?;
                Ok((permit, Outcome::Collapsed))
            }
        }
    }

    /// Fetches for this caller alone, hashing in passing: the store cannot take the file.
    async fn pass_through(
        &self,
        request: &FileRequest,
        now: Instant,
    ) -> Result<FileReply, NoReply> {
        let route = Route::File(request.file.clone());
        let ask = UpstreamRequest::by(&route, &request.caller);
        match self.upstream.file(&ask).await? {
            FileAnswer::Whole(answer) => {
                let permit = self.admit(request, now);
                self.checked(request, permit, answer).await
            }
            FileAnswer::Refused(answer) => Err(self.refused(request, answer, now)),
            _ => Err(FileError::Internal.into()),
        }
    }

    async fn checked(
        &self,
        request: &FileRequest,
        permit: Permit,
        answer: UpstreamResponse,
    ) -> Result<FileReply, NoReply> {
        let (size, body) = CheckedBody::begun(answer, &request.file, &self.bad_digests).await?;
        Ok(FileReply::Checked { permit, size, body })
    }
}

/// Whether a range is read along with a download: one that is added to bytes which carry our tag,
/// the whole under another name, or a resume of what the download has already reached. For any
/// other, upstream's own 206 comes sooner.
fn reads_along(request: &FileRequest, range: ByteRange, running: Option<&Download>) -> bool {
    match range {
        _ if request.resumes => true,
        ByteRange::From {
            first: 0,
            last: None,
        } => true,
        ByteRange::From { first, last: None } => {
            running.is_some_and(|download| download.written() >= first)
        }
        _ => false,
    }
}

/// Waits until the source can be answered from, and says how long the file is.
async fn open(
    request: &FileRequest,
    permit: Permit,
    source: FileSource,
    status: CacheStatus,
) -> Result<FileReply, Cause> {
    let size = match &source {
        FileSource::Blob(blob) => Some(blob.size()),
        FileSource::Partial(partial, _) => {
            let tells_size = matches!(request.wanted, WantedPart::Range(_) | WantedPart::Head);
            let needs_length = request.needs_length || (tells_size && partial.size().is_none());
            partial.begin(needs_length).await?
        }
    };
    let reply = FileReply::Open {
        permit,
        source,
        size,
        status,
    };
    Ok(match request.wanted {
        WantedPart::Head => reply.head(),
        WantedPart::Whole | WantedPart::Range(_) => reply,
    })
}

impl Drop for Files {
    fn drop(&mut self) {
        self.prefetcher.close();
        if let Some(shared) = &self.downloads.shared {
            shared.close();
        }
    }
}
