//! One download of one address, read by any number of clients.
//!
//! A flight is a task of its own: it belongs to no client, so that none can stop or slow it. It asks upstream in the
//! first caller's name, writes a spool file on a blocking thread, and everybody reads that file behind its watermark.
//! A break in mid body is mended once by a range request with a validator; a wrong body is fetched once more on a fresh
//! connection, as long as nobody has seen a byte of it. It goes on alone if what is left is worth it. Must not know
//! who may read: that is asked before boarding.

use std::collections::HashMap;
use std::collections::hash_map::{Entry as Slot, VacantEntry};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http::{HeaderValue, StatusCode};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

use super::config::FilesConfig;
use super::error::FileError;
use super::flight_counts::{Ended, FlightCounts};
use super::metadata::{Maker, tell};
use super::progress::Download;
use super::pump::{End, make_room, pump};
use super::rest::Rest;
use super::suspects::Suspects;
use super::tail::{Tail, Tails};
use crate::access::{Access, Caller};
use crate::registry::{FileRef, Route};
use crate::store::{
    BlobLookup, CatalogEntry, Cause, Checked, PartialFile, Reservation, Spool, Store, StoreError,
    VerifiedSpool,
};
use crate::upstream::{
    FileAnswer, PassThrough, Upstream, UpstreamRequest, UpstreamResponse, Validators, WantedRange,
};
use crate::values::byte_range::ByteRange;
use crate::values::correlation::Correlation;
use crate::values::{clock, correlation};

/// How a flight's first answer turned out.
#[derive(Clone)]
pub(super) enum Head {
    Flying {
        partial: Arc<PartialFile>,
        validators: Validators,
    },
    /// It landed between a caller's look into the store and this flight's start: nothing is to be fetched.
    Here,
    Refused(PassThrough),
    /// There is a body, but no place to put it.
    Unstorable(Handover),
    Failed(FileError),
}

/// An answer that the first caller may take over.
#[derive(Clone)]
pub(super) struct Handover(Arc<Mutex<Option<UpstreamResponse>>>);

impl Handover {
    pub(super) fn take(&self) -> Option<UpstreamResponse> {
        self.0.lock().take()
    }
}

pub(super) struct Flight {
    head: watch::Sender<Option<Head>>,
    readers: AtomicUsize,
    /// The request that began it.
    begun_by: Option<Arc<Correlation>>,
    begun: Instant,
}

impl Flight {
    /// Waits for the first answer.
    pub(super) async fn head(&self) -> Head {
        let mut watch = self.head.subscribe();
        let head = watch.wait_for(Option::is_some).await;
        head.ok()
            .and_then(|head| head.clone())
            .unwrap_or(Head::Failed(FileError::Internal))
    }

    fn partial(&self) -> Option<Arc<PartialFile>> {
        match &*self.head.borrow() {
            Some(Head::Flying { partial, .. }) => Some(Arc::clone(partial)),
            _ => None,
        }
    }

    /// The file, once every byte is here and right, though the disk may still be busy with it; and its validators.
    pub(super) fn landed(&self) -> Option<(Arc<PartialFile>, Validators)> {
        match &*self.head.borrow() {
            Some(Head::Flying {
                partial,
                validators,
            }) if partial.is_sealed() => Some((Arc::clone(partial), validators.clone())),
            _ => None,
        }
    }

    pub(super) fn written(&self) -> u64 {
        self.partial().map_or(0, |partial| partial.written())
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.partial()?.size()
    }
}

/// A reader's seat: as long as one is held, the download goes on.
pub struct Ticket {
    flight: Arc<Flight>,
    rest: Option<Box<Rest>>,
}

impl Ticket {
    pub(super) fn new(flight: &Arc<Flight>) -> Self {
        flight.readers.fetch_add(1, Ordering::AcqRel);
        Self {
            flight: Arc::clone(flight),
            rest: None,
        }
    }

    /// The same with a way to go on alone.
    pub(super) fn with(mut self, rest: Rest) -> Self {
        self.rest = Some(Box::new(rest));
        self
    }

    /// The way to go on alone, once.
    pub fn take_rest(&mut self) -> Option<Box<Rest>> {
        self.rest.take()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.flight.readers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

/// The downloads under way. It outlives the services of one configuration, as they do.
#[derive(Default)]
pub struct RunningFlights(Mutex<HashMap<FileRef, Arc<Flight>>>);

impl RunningFlights {
    fn table(&self) -> MutexGuard<'_, HashMap<FileRef, Arc<Flight>>> {
        self.0.lock()
    }
}

pub(super) struct Flights {
    config: FilesConfig,
    /// Makes the metadata of a wheel that landed.
    pub(super) maker: Arc<Maker>,
    pub(super) upstream: Arc<Upstream>,
    access: Arc<Access>,
    /// The ends of wheels of which no more was wanted.
    pub(super) tails: Tails,
    store: Arc<Store>,
    suspects: Arc<Suspects>,
    running: Arc<RunningFlights>,
    slots: Semaphore,
    counts: Arc<FlightCounts>,
}

impl Flights {
    pub(super) fn new(
        config: FilesConfig,
        maker: Arc<Maker>,
        suspects: Arc<Suspects>,
        (upstream, access, store): (Arc<Upstream>, Arc<Access>, Arc<Store>),
        (running, counts): (Arc<RunningFlights>, Arc<FlightCounts>),
    ) -> Arc<Self> {
        let slots = Semaphore::new(config.max_downloads.clamp(1, Semaphore::MAX_PERMITS));
        let tails = Tails::new();
        Arc::new(Self {
            config,
            maker,
            upstream,
            access,
            tails,
            store,
            suspects,
            running,
            slots,
            counts,
        })
    }

    /// A turn to download, if there is one to be had at once.
    pub(super) fn try_slot(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.try_acquire().ok()
    }

    pub(super) fn counts(&self) -> &FlightCounts {
        &self.counts
    }

    pub(super) fn len(&self) -> usize {
        self.running.table().len()
    }

    /// All flights, and how far each has come.
    pub(super) fn progress(&self, now: Instant) -> Vec<Download> {
        let running: Vec<_> = {
            let running = self.running.table();
            running
                .iter()
                .map(|(file, flight)| (file.clone(), Arc::clone(flight)))
                .collect()
        };
        let download = |(file, flight): (FileRef, Arc<Flight>)| Download {
            file,
            written_bytes: flight.written(),
            size_bytes: flight.size(),
            readers: flight.readers.load(Ordering::Relaxed),
            since: now.saturating_duration_since(flight.begun),
        };
        running.into_iter().map(download).collect()
    }

    pub(super) fn running(&self, file: &FileRef) -> Option<Arc<Flight>> {
        self.running.table().get(file).cloned()
    }

    /// Takes a flight out of the map, if it is still this one that stands there.
    fn retire(&self, file: &FileRef, flight: &Arc<Flight>) {
        let mut running = self.running.table();
        if running
            .get(file)
            .is_some_and(|known| Arc::ptr_eq(known, flight))
        {
            running.remove(file);
        }
    }

    /// Takes a flight out of the map, if nobody sits in it. Seats are taken under the same lock: nobody boards a flight
    /// that is being given up.
    pub(super) fn retire_deserted(&self, file: &FileRef, flight: &Arc<Flight>) -> bool {
        let mut running = self.running.table();
        let deserted = flight.readers.load(Ordering::Acquire) == 0;
        if deserted
            && running
                .get(file)
                .is_some_and(|known| Arc::ptr_eq(known, flight))
        {
            running.remove(file);
        }
        deserted
    }

    /// The flight of this file and a seat on it; true if this call started it, in this credential's name.
    pub(super) fn board(
        self: &Arc<Self>,
        file: &FileRef,
        caller: &Caller,
    ) -> (Arc<Flight>, Ticket, bool) {
        let mut running = self.running.table();
        match running.entry(file.clone()) {
            Slot::Occupied(slot) => {
                let flight = slot.get();
                self.counts.joined();
                if let (Some(current), Some(begun_by)) = (correlation::current(), &flight.begun_by)
                {
                    current.shares(begun_by);
                }
                (Arc::clone(flight), Ticket::new(flight), false)
            }
            Slot::Vacant(slot) => {
                let pilot = self.pilot(slot, caller);
                let flight = Arc::clone(&pilot.flight);
                let ticket = Ticket::new(&flight);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a flight belongs to no client; what is left at the end is swept at the next start"
                )]
                tokio::spawn(correlation::carried(pilot.fly()));
                (flight, ticket, true)
            }
        }
    }

    /// A flight of this file that is yet to be flown; nothing, if there is one already.
    pub(super) fn enter(self: &Arc<Self>, file: &FileRef, caller: &Caller) -> Option<Pilot> {
        match self.running.table().entry(file.clone()) {
            Slot::Occupied(_) => None,
            Slot::Vacant(slot) => Some(self.pilot(slot, caller)),
        }
    }

    fn pilot(
        self: &Arc<Self>,
        slot: VacantEntry<'_, FileRef, Arc<Flight>>,
        caller: &Caller,
    ) -> Pilot {
        let flight = Arc::new(Flight {
            head: watch::Sender::new(None),
            readers: AtomicUsize::new(0),
            begun_by: correlation::current(),
            begun: clock::now(),
        });
        let file = slot.key().clone();
        slot.insert(Arc::clone(&flight));
        let route = Route::File(file.clone());
        Pilot {
            flights: Arc::clone(self),
            flight,
            file,
            route,
            caller: caller.clone(),
            tail: None,
        }
    }
}

/// The task's own view of its flight. Dropped in whatever way, it takes the flight out of the map.
pub(super) struct Pilot {
    pub(super) flights: Arc<Flights>,
    pub(super) flight: Arc<Flight>,
    pub(super) file: FileRef,
    route: Route,
    pub(super) caller: Caller,
    /// The end of the file, if a look at it was how this began.
    pub(super) tail: Option<(Arc<Tail>, Instant)>,
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.end(Head::Failed(FileError::Internal));
    }
}

impl Pilot {
    /// The first head stands.
    fn tell(&self, head: Head) {
        self.flight.head.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                *told = Some(head);
            }
            first
        });
    }

    /// Says how it ended. Out of the map first: whoever comes from here on starts anew.
    fn end(&self, head: Head) {
        self.flights.retire(&self.file, &self.flight);
        self.tell(head);
    }

    pub(super) fn ask(&self, fresh_connection: bool) -> UpstreamRequest<'_> {
        UpstreamRequest {
            fresh_connection,
            ..UpstreamRequest::by(&self.route, &self.caller)
        }
    }

    pub(super) async fn fly(self) {
        let turn = timeout(
            self.flights.config.queue_timeout.0,
            self.flights.slots.acquire(),
        );
        let Ok(_slot) = turn.await else {
            return self.end(Head::Failed(FileError::Busy));
        };
        if self.flights.slots.available_permits() == 0
            && self.flights.retire_deserted(&self.file, &self.flight)
        {
            // Everybody who wanted it left while it waited for its turn.
            return;
        }
        let now = clock::now();
        if self.is_here(now).await {
            return self.tell(Head::Here);
        }
        let suspected = self.flights.suspects.suspected(&self.file, now);
        if let Some((answer, validators)) = self.depart(suspected).await {
            self.land(answer, validators).await;
        }
    }

    /// Whether the store has the file. Asked while this flight is in the map, and a flight leaves the map only after
    /// its file is in the store, so that no file is fetched twice.
    async fn is_here(&self, now: Instant) -> bool {
        let store = &self.flights.store;
        let known = matches!(store.catalog.find(&self.file).await, Ok(Some(_)));
        known
            && matches!(
                store.blobs.open(self.file.digest, now),
                Ok(BlobLookup::Whole(_) | BlobLookup::Checking(_))
            )
    }

    /// Asks upstream, and tells the waiting what came of it if it is not a body.
    async fn depart(&self, fresh_connection: bool) -> Option<(UpstreamResponse, Validators)> {
        let (asked, answered) = self.asked(fresh_connection).await;
        match answered {
            Ok(FileAnswer::Whole(answer)) => {
                // Before anybody is told: whoever waits with the same credential finds its right proven.
                self.flights
                    .access
                    .admit_file(self.caller.fingerprint(), &self.file, asked);
                let validators = Validators::of(&answer.headers);
                return Some((answer, validators));
            }
            Ok(FileAnswer::Refused(relayed)) => {
                self.flights.counts.ended(Ended::Refused);
                self.end(Head::Refused(relayed));
            }
            Ok(_) => self.end(Head::Failed(FileError::Internal)),
            Err(why) => {
                self.flights.counts.ended(Ended::Unanswered);
                self.end(Head::Failed(why.into()));
            }
        }
        None
    }

    async fn land(&self, first: UpstreamResponse, mut validators: Validators) {
        let mut size = first.length();
        let (mut spool, mut reservation) = match make_room(&self.flights.store, size).await {
            Ok(room) => room,
            Err(why) => {
                self.flights.counts.ended(Ended::Unstorable);
                tracing::warn!(error = %why, "the store cannot take a file: it is proxied uncached");
                return self.end(Head::Unstorable(Handover(Arc::new(Mutex::new(Some(
                    first,
                ))))));
            }
        };
        spool.announce(size);
        let partial = Arc::clone(spool.partial());
        self.tell(Head::Flying {
            partial,
            validators: validators.clone(),
        });

        let (mut answer, mut mended, mut refetched) = (first, false, false);
        let cause = loop {
            let skip = if answer.status == StatusCode::OK {
                spool.written()
            } else {
                0
            };
            let coded = answer.is_coded();
            let end;
            let give_up = || self.deserted();
            (spool, reservation, end) = match pump(
                &self.flights.store,
                answer,
                spool,
                reservation,
                skip,
                give_up,
            )
            .await
            {
                Some(back) => back,
                None => return,
            };
            let wrong = match end {
                End::Complete => match self.check(spool).await {
                    Some(Checked::Whole(whole)) => {
                        return self.seal(whole, reservation, &validators).await;
                    }
                    Some(Checked::Wrong(back, cause)) => {
                        spool = back;
                        cause.of_coded(coded)
                    }
                    None => return,
                },
                End::Broke(cause) => cause,
                End::Abandoned => break Cause::Abandoned,
            };
            let next = match wrong {
                Cause::Upstream | Cause::Short | Cause::Stalled if !mended => {
                    mended = true;
                    self.resume(&spool, size, &validators).await
                }
                Cause::WrongDigest | Cause::Coded | Cause::Long => {
                    self.flights.suspects.strike(&self.file, clock::now());
                    tracing::error!(file = %self.route, cause = %wrong, "checksum mismatch: upstream sent other bytes than the address names");
                    let unseen = !refetched && spool.start_over().unwrap_or(false);
                    refetched = true;
                    if unseen { self.refetch().await } else { None }
                }
                _ => None,
            };
            match next {
                Some(Next::Rest(rest)) => answer = rest,
                Some(Next::Whole(whole, announced)) => {
                    validators = Validators::of(&whole.headers);
                    size = announced;
                    spool.announce(size);
                    answer = whole;
                }
                None => break wrong,
            }
        };
        self.flights.counts.ended(Ended::of(cause));
        tracing::warn!(file = %self.route, error = %cause, "a download failed");
        self.flights.retire(&self.file, &self.flight);
        spool.fail(cause);
    }

    /// Nobody reads, and what is left is not worth fetching for nobody.
    fn deserted(&self) -> bool {
        if self.flight.readers.load(Ordering::Acquire) > 0 {
            return false;
        }
        let (written, size) = (self.flight.written(), self.flight.size());
        !worth_finishing(written, size, self.flights.config.finish_after_abort_max.0)
            && self.flights.retire_deserted(&self.file, &self.flight)
    }

    async fn check(&self, spool: Spool) -> Option<Checked> {
        let digest = self.file.digest;
        tokio::task::spawn_blocking(move || spool.check(digest))
            .await
            .ok()
    }

    /// Asks for what is missing after a break, once, with a validator so that two bodies are never spliced.
    async fn resume(
        &self,
        spool: &Spool,
        size: Option<u64>,
        validators: &Validators,
    ) -> Option<Next> {
        let written = spool.written();
        let if_range = Some(validators.for_resume()?.clone());
        let range = ByteRange::From {
            first: written,
            last: None,
        };
        let mut ask = self.ask(true);
        ask.range = (written > 0).then_some(WantedRange { range, if_range });
        let (answer, fits) = match self.flights.upstream.file(&ask).await.ok()? {
            FileAnswer::Part(part, answer) => (answer, size.is_none() || part.whole == size),
            // The whole again: what is there already is skipped, and the digest judges the sum.
            FileAnswer::Whole(answer) => {
                let fits = answer.length() == size;
                (answer, fits)
            }
            _ => return None,
        };
        tracing::info!(file = %self.route, written, resumed = fits, "a download broke off");
        fits.then_some(Next::Rest(answer))
    }

    async fn refetch(&self) -> Option<Next> {
        let ask = self.ask(true);
        let FileAnswer::Whole(answer) = self.flights.upstream.file(&ask).await.ok()? else {
            return None;
        };
        let size = answer.length();
        Some(Next::Whole(answer, size))
    }

    /// Makes the file lasting: blob first, then the address, so that no address ever names bytes that are not there.
    async fn seal(&self, whole: VerifiedSpool, reservation: Reservation, validators: &Validators) {
        self.flights.suspects.acquit(&self.file);
        let text = |value: &Option<HeaderValue>| {
            value
                .as_ref()
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let entry = CatalogEntry {
            size: whole.size(),
            etag: text(&validators.etag),
            last_modified: text(&validators.last_modified),
        };
        let (store, file) = (Arc::clone(&self.flights.store), self.file.clone());
        let maker = Arc::clone(&self.flights.maker);
        let make = maker.config().generate && file.filename.is_wheel();
        let seal = move || {
            let landed = (Arc::clone(whole.file()), whole.size());
            whole.seal(&store.blobs, reservation, || {
                store.catalog.record(&file, entry)
            })?;
            // The readers have everything by now; what fails here is tried again when somebody asks.
            if make && let Err(why) = maker.make(&file, &landed) {
                tell(&file, &why);
            }
            Ok(())
        };
        let sealed: Result<Result<(), StoreError>, _> = tokio::task::spawn_blocking(seal).await;
        self.flights.counts.ended(if matches!(sealed, Ok(Ok(()))) {
            Ended::Landed
        } else {
            Ended::Unstorable
        });
        if let Ok(Err(why)) = sealed {
            tracing::error!(file = %self.route, error = %why, "a download could not be stored");
        }
    }
}

enum Next {
    /// The rest of the body, or the whole of it with the beginning to be skipped.
    Rest(UpstreamResponse),
    /// Another body altogether.
    Whole(UpstreamResponse, Option<u64>),
}

/// Whether a download that nobody reads any more is carried to its end.
fn worth_finishing(written: u64, size: Option<u64>, alone_max: u64) -> bool {
    match size {
        Some(size) => size <= alone_max || written > size / 2,
        None => written <= alone_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_or_half_done_downloads_are_finished_for_nobody() {
        assert!(worth_finishing(0, Some(100), 100));
        assert!(!worth_finishing(50, Some(101), 100));
        assert!(worth_finishing(51, Some(101), 100));
        assert!(worth_finishing(100, None, 100));
        assert!(!worth_finishing(101, None, 100));
    }
}
