//! Distributions: fetched once, streamed behind a watermark, verified before they end, to those who may.
//!
//! The order for one request, each step a branch of [`Files::file`]:
//!
//! 1. Held (this address is in the catalogue and its blob on disk): a caller whose right stands gets it; anybody else's
//!    own request goes upstream with the stored validators and is the question.
//! 2. Cold and whole: one flight per address fetches; the first caller's request *is* the flight's, later callers
//!    prove their right by a small question with the flight's validators, then read along.
//! 3. Cold, a range or only the head: upstream's own 206 is relayed, uncached, and the file is fetched behind it, if it
//!    is small enough.
//!
//! Held means *by address*: a blob that came from one address is never shown at another that has not itself yielded
//! these bytes, because GitLab does not check the digests uploaders declare. Must not know pages or HTTP statuses of
//! our own.

mod adoption;
mod ahead;
mod checked;
mod config;
mod error;
mod flight;
mod flight_counts;
mod landed;
mod look;
mod metadata;
mod metadata_config;
mod progress;
mod pump;
mod ranges;
mod request;
mod rest;
mod sidecar;
mod spans;
mod suspects;
mod tail;
mod unverified;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, StatusCode};

use crate::access::{Access, AuthVerdict, Authorization, Fingerprint, Permit, verdict};
use crate::registry::{FileRef, MirrorPath, Route, Scope};
use crate::store::{BlobLookup, Cause, Store};
use crate::upstream::{
    ContentRange, FileAnswer, IdleBody, PassThrough, Peer, Upstream, UpstreamError,
    UpstreamRequest, Validators, WantedRange,
};
use crate::values::byte_range::ByteRange;
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::clock;
use crate::values::single_flight::SingleFlight;

use ahead::ReadAhead;
pub use checked::CheckedBody;
pub use config::FilesConfig;
pub use error::FileError;
pub use flight::RunningFlights;
pub use flight::Ticket;
use flight::{Flight, Flights, Head};
pub use flight_counts::FlightCounts;
use metadata::{Maker, Remade};
pub use metadata_config::MetadataConfig;
pub use progress::Download;
use ranges::{FIRST_BYTE, Ranges};
pub use request::{FileReply, FileRequest, Source, Wanted};
use rest::Rest;
use suspects::Suspects;

/// GitLab's word to one caller about one file.
#[derive(Clone)]
enum Word {
    Admitted { asked: Instant, status: StatusCode },
    Refused(PassThrough),
    Failed(UpstreamError),
}

pub struct Files {
    config: FilesConfig,
    upstream: Arc<Upstream>,
    access: Arc<Access>,
    store: Arc<Store>,
    flights: Arc<Flights>,
    suspects: Arc<Suspects>,
    /// By caller, file, and the generation of rights in which they were begun.
    questions: Arc<SingleFlight<(Fingerprint, FileRef, u64), Word>>,
    maker: Arc<Maker>,
    ranges: Arc<Ranges>,
    ahead: Arc<ReadAhead>,
    remaking: Arc<SingleFlight<FileRef, Remade>>,
    /// Mirrors whose files without a sha256 are kept.
    adopts: HashSet<Scope>,
    adopting: Arc<SingleFlight<MirrorPath, ()>>,
}

/// Who works for the file room.
pub struct Parts {
    pub upstream: Arc<Upstream>,
    pub access: Arc<Access>,
    pub store: Arc<Store>,
    /// What was begun before goes on, and is shared with who comes now.
    pub running: Arc<RunningFlights>,
    pub counts: Arc<FlightCounts>,
}

/// The numbers of this room at a moment.
#[derive(Clone, Debug)]
pub struct FilesReading {
    /// Readers that came to a download under way.
    pub joined: u64,
    /// Downloads that ended, by how: a word of a closed set.
    pub ended: Vec<(&'static str, u64)>,
    /// Bodies that were not what their address promises.
    pub wrong_bodies: u64,
    /// Addresses that are left alone because of such bodies.
    pub shunned: u64,
}

/// Rounds of "look again": a blob found damaged, a leader refused. Each has its cause gone the next time.
const ROUNDS_MAX: usize = 4;

impl Files {
    /// `adopts` are the mirrors whose files without a sha256 are kept under the one they turn out to have.
    pub fn new(
        config: FilesConfig,
        metadata: MetadataConfig,
        adopts: HashSet<Scope>,
        parts: Parts,
    ) -> Arc<Self> {
        let Parts {
            upstream,
            access,
            store,
            running,
            counts,
        } = parts;
        let suspects = Arc::new(Suspects::new(Arc::clone(&counts)));
        let ranges = Arc::new(Ranges::new());
        let (line, kept) = (Arc::clone(&upstream), Arc::clone(&store));
        let maker = Arc::new(Maker::new(metadata, line, kept, Arc::clone(&ranges)));
        let asked = (
            Arc::clone(&upstream),
            Arc::clone(&access),
            Arc::clone(&store),
        );
        let flights = Flights::new(
            config,
            Arc::clone(&maker),
            Arc::clone(&suspects),
            asked,
            (running, counts),
        );
        Arc::new(Self {
            config,
            upstream,
            access,
            store,
            suspects,
            questions: SingleFlight::new(),
            ahead: ReadAhead::new(Arc::clone(&flights)),
            flights,
            maker,
            ranges,
            remaking: SingleFlight::new(),
            adopts,
            adopting: SingleFlight::new(),
        })
    }

    /// Downloads under way.
    pub fn downloading(&self) -> usize {
        self.flights.len()
    }

    /// How downloads went, and what upstream sent that was wrong.
    pub fn reading(&self, now: Instant) -> FilesReading {
        FilesReading {
            joined: self.flights.counts().readers_joined(),
            ended: self.flights.counts().endings(),
            wrong_bodies: self.flights.counts().wrong_bodies(),
            shunned: self.suspects.shunning(now),
        }
    }

    /// The same one by one, in no order.
    pub fn downloads(&self, now: Instant) -> Vec<Download> {
        self.flights.progress(now)
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
        self.ahead.sign(request.caller.fingerprint(), &request.file);
        self.found(&request, now)
            .await
            .map_err(|why| why.about(request.file.filename.as_str()))
    }

    async fn found(
        self: &Arc<Self>,
        request: &FileRequest,
        now: Instant,
    ) -> Result<FileReply, FileError> {
        let mut status = CacheStatus::HIT;
        for _ in 0..ROUNDS_MAX {
            let standing = self
                .access
                .file(request.caller.fingerprint(), &request.file, now);
            let round = match self.held(&request.file, now).await {
                Some((source, validators)) => {
                    self.serve_held(request, standing, source, validators, status)
                        .await
                }
                None => self.serve_cold(request, standing, now).await,
            };
            match round? {
                Round::Reply(reply) => return Ok(reply),
                Round::Again => status = CacheStatus::new(Outcome::Miss),
            }
        }
        // The last resort: the caller's own request, passed through and verified.
        match self.pass_through(request, now).await? {
            Round::Reply(reply) => Ok(reply),
            Round::Again => Err(FileError::Internal),
        }
    }

    /// The bytes, if this address is known to yield them and they are here; and the validators to ask about it with.
    async fn held(&self, file: &FileRef, now: Instant) -> Option<(Source, Validators)> {
        // Before the catalogue: a flight that is no longer there has written its line into it.
        if let Some((partial, validators)) = self
            .flights
            .running(file)
            .and_then(|flight| flight.landed())
        {
            return Some((Source::PartialFile(partial, None), validators));
        }
        let entry = match self.store.catalog.find(file).await {
            Ok(entry) => entry?,
            Err(why) => {
                tracing::warn!(error = %why, "the catalogue cannot be read");
                return None;
            }
        };
        let value = |text: &Option<String>| {
            text.as_deref()
                .and_then(|text| HeaderValue::from_str(text).ok())
        };
        let validators = Validators {
            etag: value(&entry.etag),
            last_modified: value(&entry.last_modified),
        };
        match self.store.blobs.open(file.digest, now) {
            Ok(BlobLookup::Whole(blob)) => Some((Source::Blob(blob), validators)),
            Ok(BlobLookup::Checking(partial)) => {
                Some((Source::PartialFile(partial, None), validators))
            }
            Ok(BlobLookup::Absent) => None,
            Err(why) => {
                tracing::warn!(error = %why, "a stored file cannot be opened");
                None
            }
        }
    }

    async fn serve_held(
        &self,
        request: &FileRequest,
        standing: Authorization,
        source: Source,
        validators: Validators,
        status: CacheStatus,
    ) -> Result<Round, FileError> {
        let (permit, status) = match standing {
            Authorization::Proven(permit) => (permit, status),
            Authorization::Unproven => match self.question(request, validators).await? {
                Ok((permit, answer)) => (
                    permit,
                    CacheStatus::answered(Outcome::Authorized, answer.as_u16()),
                ),
                Err(refusal) => return Ok(Round::Reply(FileReply::PassThrough(refusal))),
            },
        };
        match open(request, permit, source, status).await {
            Ok(reply) => Ok(Round::Reply(reply)),
            // Found damaged while nobody had seen a byte: it is set aside by now, and is fetched again.
            Err(_) => Ok(Round::Again),
        }
    }

    async fn serve_cold(
        self: &Arc<Self>,
        request: &FileRequest,
        standing: Authorization,
        now: Instant,
    ) -> Result<Round, FileError> {
        if self.suspects.shunned(&request.file, now) {
            if standing.permit().is_none()
                && let Err(refusal) = self.question(request, Validators::default()).await?
            {
                return Ok(Round::Reply(FileReply::PassThrough(refusal)));
            }
            return Err(FileError::Shunned);
        }
        let suspect = self.suspects.suspected(&request.file, now);
        let running = self.flights.running(&request.file);
        match request.wanted {
            Wanted::Head => self.relay(request, standing, running, now).await,
            // Where upstream answers no ranges, asking for one is a download thrown away.
            Wanted::Range(range)
                if !suspect
                    && !rides_along(request, range, running.as_ref())
                    && !self.ranges.none(&request.file.scope) =>
            {
                self.relay(request, standing, running, now).await
            }
            Wanted::Whole | Wanted::Range(_) => self.fly(request, standing, suspect, now).await,
        }
    }

    /// Reads along with the one download of this address, starting it if need be.
    async fn fly(
        self: &Arc<Self>,
        request: &FileRequest,
        standing: Authorization,
        suspect: bool,
        now: Instant,
    ) -> Result<Round, FileError> {
        let (flight, ticket, leads) = self.flights.board(&request.file, &request.caller);
        match flight.head().await {
            Head::Flying {
                partial,
                validators,
            } => {
                let (upstream, suspects) = (Arc::clone(&self.upstream), Arc::clone(&self.suspects));
                let reader = (request.file.clone(), request.caller.clone());
                let rest = Rest::new(upstream, suspects, reader, validators.clone());
                // The flight's answer speaks for all with the credential that it was asked with.
                let standing = match standing {
                    Authorization::Unproven => {
                        self.access
                            .file(request.caller.fingerprint(), &request.file, now)
                    }
                    proven @ Authorization::Proven(_) => proven,
                };
                let permit = match standing {
                    Authorization::Proven(permit) => permit,
                    Authorization::Unproven if leads => {
                        self.access
                            .admit_file(request.caller.fingerprint(), &request.file, now)
                    }
                    Authorization::Unproven => match self.question(request, validators).await? {
                        Ok((permit, _)) => permit,
                        Err(refusal) => return Ok(Round::Reply(FileReply::PassThrough(refusal))),
                    },
                };
                let outcome = if leads {
                    Outcome::Miss
                } else {
                    Outcome::Collapsed
                };
                let mut request = request.clone();
                // After wrong bytes nothing is promised before it is verified.
                request.needs_length |= suspect;
                let source = Source::PartialFile(partial, Some(ticket.with(rest)));
                match open(&request, permit, source, CacheStatus::new(outcome)).await {
                    Ok(reply) => Ok(Round::Reply(reply)),
                    // Nobody has seen a byte, and upstream is not to blame.
                    Err(Cause::Disk | Cause::Full) => self.pass_through(&request, now).await,
                    Err(cause) => Err(FileError::Body(cause)),
                }
            }
            Head::Here => Ok(Round::Again),
            Head::Refused(relayed) if leads => {
                self.refused(request, &relayed, now);
                Ok(Round::Reply(FileReply::PassThrough(relayed)))
            }
            // Somebody else was refused, which says nothing about this caller: it asks for itself. Going round unasked
            // could end in one stranger's flight after another.
            Head::Refused(_) => match self.question(request, Validators::default()).await? {
                Ok(_) => Ok(Round::Again),
                Err(refusal) => Ok(Round::Reply(FileReply::PassThrough(refusal))),
            },
            Head::Unstorable(answer) if leads => {
                let Some(answer) = answer.take() else {
                    return Err(FileError::Internal);
                };
                let permit =
                    self.access
                        .admit_file(request.caller.fingerprint(), &request.file, now);
                let (size, body) =
                    CheckedBody::begun(answer, &request.file, &self.suspects).await?;
                Ok(Round::Reply(FileReply::Checked { permit, size, body }))
            }
            Head::Unstorable(_) => self.pass_through(request, now).await,
            Head::Failed(why) => Err(why),
        }
    }

    /// Fetches for this caller alone, hashing in passing: the store cannot take the file.
    async fn pass_through(&self, request: &FileRequest, now: Instant) -> Result<Round, FileError> {
        let route = Route::File(request.file.clone());
        match self
            .upstream
            .file(&UpstreamRequest::by(&route, &request.caller))
            .await?
        {
            FileAnswer::Whole(answer) => {
                let permit =
                    self.access
                        .admit_file(request.caller.fingerprint(), &request.file, now);
                let (size, body) =
                    CheckedBody::begun(answer, &request.file, &self.suspects).await?;
                Ok(Round::Reply(FileReply::Checked { permit, size, body }))
            }
            FileAnswer::Refused(relayed) => {
                self.refused(request, &relayed, now);
                Ok(Round::Reply(FileReply::PassThrough(relayed)))
            }
            _ => Err(FileError::Internal),
        }
    }

    /// A range or a head of a file that is not here: upstream's own answer, for this caller alone.
    async fn relay(
        self: &Arc<Self>,
        request: &FileRequest,
        standing: Authorization,
        running: Option<Arc<Flight>>,
        now: Instant,
    ) -> Result<Round, FileError> {
        if let (Wanted::Head, Authorization::Proven(permit), Some(size)) = (
            request.wanted,
            standing,
            running.as_ref().and_then(|flight| flight.size()),
        ) {
            let status = CacheStatus::new(Outcome::Collapsed);
            return Ok(Round::Reply(FileReply::Known {
                permit,
                size,
                status,
            }));
        }
        let route = Route::File(request.file.clone());
        let mut ask = UpstreamRequest::by(&route, &request.caller);
        let (permit, size) = match self.part(&mut ask, request.wanted).await {
            Ok(FileAnswer::Part(part, answer)) => {
                let permit =
                    self.access
                        .admit_file(request.caller.fingerprint(), &request.file, now);
                match request.wanted {
                    // What a coded part is a part of, and of how much, only the whole can tell.
                    Wanted::Range(_) if answer.is_coded() => {
                        return self
                            .fly(request, Authorization::Proven(permit), true, now)
                            .await;
                    }
                    Wanted::Range(_) => {
                        let body =
                            passed_on(answer.body, Some(part.bytes()), &request.file.scope).await?;
                        self.fetch_behind(request, part);
                        return Ok(Round::Reply(FileReply::Partial { range: part, body }));
                    }
                    Wanted::Head | Wanted::Whole => (permit, part.whole),
                }
            }
            Ok(FileAnswer::Whole(answer)) => (
                self.access
                    .admit_file(request.caller.fingerprint(), &request.file, now),
                answer.length(),
            ),
            Ok(FileAnswer::Unsatisfiable(size)) => (
                self.access
                    .admit_file(request.caller.fingerprint(), &request.file, now),
                size,
            ),
            Ok(FileAnswer::Refused(relayed)) => {
                self.refused(request, &relayed, now);
                return Ok(Round::Reply(FileReply::PassThrough(relayed)));
            }
            // The range is cut from the file, or the whole is refused in upstream's own words.
            Ok(FileAnswer::RangeRefused(_)) | Err(UpstreamError::WrongPart(_)) => {
                return self.fly(request, standing, false, now).await;
            }
            Ok(FileAnswer::NotModified | FileAnswer::Admitted(_)) => {
                return Err(FileError::Internal);
            }
            Err(why) => return Err(why.into()),
        };
        match (request.wanted, size) {
            // The head alone, or a range behind the end: the length is all there is to tell.
            (Wanted::Head, Some(size)) => {
                let status = CacheStatus::new(Outcome::Bypass);
                Ok(Round::Reply(FileReply::Known {
                    permit,
                    size,
                    status,
                }))
            }
            (Wanted::Range(range), Some(size)) if range.on(size).is_none() => {
                let status = CacheStatus::new(Outcome::Bypass);
                Ok(Round::Reply(FileReply::Known {
                    permit,
                    size,
                    status,
                }))
            }
            (Wanted::Head, None) => {
                Err(UpstreamError::Unusable("upstream did not say how long the file is").into())
            }
            // Upstream does not do ranges: the whole, read along, is the answer that comes soonest.
            (Wanted::Range(_) | Wanted::Whole, _) => {
                self.ranges.note_none(&request.file.scope);
                let whole = FileRequest {
                    wanted: Wanted::Whole,
                    ..request.clone()
                };
                self.fly(&whole, Authorization::Proven(permit), false, now)
                    .await
            }
        }
    }

    /// Asks for the range that is wanted; for a head, for what tells the length.
    async fn part(
        &self,
        ask: &mut UpstreamRequest<'_>,
        of: Wanted,
    ) -> Result<FileAnswer, UpstreamError> {
        // One byte tells it; a HEAD would not, on a link that is signed for GET.
        let range = if let Wanted::Range(range) = of {
            range
        } else {
            FIRST_BYTE
        };
        match self.ranges.ask(&self.upstream, ask, wanted(range)).await {
            Ok(FileAnswer::RangeRefused(_)) | Err(UpstreamError::WrongPart(_))
                if of == Wanted::Head =>
            {
                ask.range = None;
                self.upstream.file(ask).await
            }
            answered => answered,
        }
    }

    /// Whoever reads a range of a file now mostly wants the rest soon.
    fn fetch_behind(&self, request: &FileRequest, partial: ContentRange) {
        if partial
            .whole
            .is_some_and(|size| size <= self.config.background_fetch_max.0)
        {
            drop(self.flights.board(&request.file, &request.caller));
        }
    }

    /// Asks GitLab, in the caller's name, whether he may have this file. The inner error is GitLab's refusal.
    async fn question(
        &self,
        request: &FileRequest,
        validators: Validators,
    ) -> Result<Result<(Permit, StatusCode), PassThrough>, FileError> {
        let upstream = Arc::clone(&self.upstream);
        let file = request.file.clone();
        let caller = request.caller.clone();
        let one_tells_nothing = self.ranges.none(&file.scope);
        let work = move || async move {
            let of = file.scope.clone();
            let route = Route::File(file);
            let asked = clock::now();
            // Without a validator one byte tells as much as all of them.
            let range = (validators.is_empty() && !one_tells_nothing).then(|| wanted(FIRST_BYTE));
            let mut ask = UpstreamRequest {
                validators,
                range,
                ..UpstreamRequest::by(&route, &caller)
            };
            let mut answered = upstream.file(&ask).await;
            if matches!(
                answered,
                Ok(FileAnswer::RangeRefused(_)) | Err(UpstreamError::WrongPart(_))
            ) {
                ask.range = None;
                answered = upstream.file(&ask).await;
            }
            match answered {
                // A body is not needed: dropping it closes that connection.
                Ok(FileAnswer::Whole(answer) | FileAnswer::Part(_, answer)) => Word::Admitted {
                    asked,
                    status: answer.status,
                },
                Ok(FileAnswer::NotModified) => Word::Admitted {
                    asked,
                    status: StatusCode::NOT_MODIFIED,
                },
                Ok(FileAnswer::Admitted(status)) => Word::Admitted { asked, status },
                Ok(FileAnswer::Refused(relayed)) => Word::Refused(relayed),
                // An empty file.
                Ok(FileAnswer::Unsatisfiable(_)) => Word::Admitted {
                    asked,
                    status: StatusCode::RANGE_NOT_SATISFIABLE,
                },
                Ok(FileAnswer::RangeRefused(status)) => {
                    Word::Failed(UpstreamError::Failed(Peer::of(&of), status))
                }
                Err(why) => Word::Failed(why),
            }
        };
        let key = (
            request.caller.fingerprint(),
            request.file.clone(),
            self.access.generation(),
        );
        let landed = self
            .questions
            .run(key, work)
            .await
            .ok_or(FileError::Internal)?;
        match landed.value {
            Word::Admitted { asked, status } => Ok(Ok((
                self.access
                    .admit_file(request.caller.fingerprint(), &request.file, asked),
                status,
            ))),
            Word::Refused(relayed) => {
                self.refused(request, &relayed, clock::now());
                Ok(Err(relayed))
            }
            Word::Failed(why) => Err(why.into()),
        }
    }

    fn refused(&self, request: &FileRequest, relayed: &PassThrough, now: Instant) {
        // A mirror is asked in nobody's name, and its word says nothing of anybody's rights.
        if request.file.scope.is_mirror() {
            return;
        }
        match verdict::verdict(relayed.status, false) {
            AuthVerdict::TurnedAway => self.access.turn_away(request.caller.fingerprint(), now),
            AuthVerdict::NotThere => {
                self.access
                    .forget_file(request.caller.fingerprint(), &request.file, now)
            }
            AuthVerdict::Admitted | AuthVerdict::NoWord => {}
        }
    }
}

enum Round {
    Reply(FileReply),
    Again,
}

/// Whether a range is read along with a download: one that is added to bytes which carry our tag, the whole under
/// another name, or a resume of what the download has already reached. For any other, upstream's own 206 comes sooner.
fn rides_along(request: &FileRequest, range: ByteRange, running: Option<&Arc<Flight>>) -> bool {
    match range {
        _ if request.resumes => true,
        ByteRange::From {
            first: 0,
            last: None,
        } => true,
        ByteRange::From { first, last: None } => {
            running.is_some_and(|flight| flight.written() >= first)
        }
        _ => false,
    }
}

/// The range as a request asks for it.
fn wanted(range: ByteRange) -> WantedRange {
    WantedRange {
        range,
        if_range: None,
    }
}

/// A body that goes on as it comes, of so many bytes if that was promised, once its first ones are here: for what breaks
/// before there is an answer of our own.
async fn passed_on(
    mut body: IdleBody,
    bytes: Option<u64>,
    of: &Scope,
) -> Result<IdleBody, FileError> {
    let begun = body
        .begin()
        .await
        .map_err(|why| UpstreamError::of_body(&Peer::of(of), &why))?;
    if !begun && bytes.is_some_and(|bytes| bytes > 0) {
        return Err(FileError::Body(Cause::Short));
    }
    Ok(body)
}

/// Waits until the source can be answered from, and says how long the file is.
async fn open(
    request: &FileRequest,
    permit: Permit,
    source: Source,
    status: CacheStatus,
) -> Result<FileReply, Cause> {
    let size = match &source {
        Source::Blob(blob) => Some(blob.size()),
        Source::PartialFile(partial, _) => {
            let ranged = matches!(request.wanted, Wanted::Range(_)) && partial.size().is_none();
            partial.begin(request.needs_length || ranged).await?
        }
    };
    match (request.wanted, size) {
        (Wanted::Head, Some(size)) => Ok(FileReply::Known {
            permit,
            size,
            status,
        }),
        _ => Ok(FileReply::Open {
            permit,
            source,
            size,
            status,
        }),
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.ahead.close();
    }
}
