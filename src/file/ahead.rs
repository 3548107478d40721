//! Reading wheels' metadata before anybody asks for it.
//!
//! After a page was served, the wheels on it that are most likely wanted and have no metadata yet are read in the
//! background, in that caller's name, so that the next page is richer. They are left to that caller first: once it asks for
//! any file of their project it has made its choice, and nothing of that page is read; as long as it is at work, it may yet
//! come. So an installation costs upstream no bytes that it would not cost anyway. Bounded in number, rate and bytes by
//! `[metadata]`; what failed is left alone for [`LEFT_ALONE_FOR`]. Must not know which wheels are worth it: the caller names
//! them in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use super::flight::Flights;
use super::landed::made_of;
use super::look::Look;
use super::metadata::{Maker, Remade};
use super::spans::SpansError;
use crate::access::{Caller, Fingerprint};
use crate::registry::{FileRef, Scope};
use crate::simple::{ProjectName, project_candidates};
use crate::store::WheelMark;
use crate::values::{clock, correlation};

/// A wheel that yielded nothing is not read again for so long.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(3600);

/// Wheels remembered to have yielded nothing.
const FAILURES_MAX: u64 = 16_384;

/// So many delays a wheel waits at most for a caller that never rests: mirrors know but one.
const DELAYS_MAX: u32 = 10;

pub(super) struct ReadAhead {
    flights: Arc<Flights>,
    waiting: Mutex<Waiting>,
    /// What failed for everybody, or was refused to one.
    failed: Cache<(WheelMark, Option<Fingerprint>), ()>,
    turns: Semaphore,
    /// When the next wheel may be read.
    next: Mutex<Option<Instant>>,
}

/// Who waits, and for whom. There is an entry for what is in line, and for nothing else.
#[derive(Default)]
struct Waiting {
    wheels: HashSet<WheelMark>,
    readers: HashMap<Fingerprint, Reader>,
}

/// A caller in whose name wheels are in line.
struct Reader {
    /// When it last asked for anything.
    seen: Instant,
    /// Wheels in line of each project, and whether the caller has asked for a file of it.
    projects: HashMap<Project, (usize, bool)>,
}

type Project = (Scope, ProjectName);

impl ReadAhead {
    pub(super) fn new(flights: Arc<Flights>) -> Arc<Self> {
        let turns = Semaphore::new(
            flights
                .maker
                .config()
                .concurrency
                .clamp(1, Semaphore::MAX_PERMITS),
        );
        let failed = Cache::builder()
            .max_capacity(FAILURES_MAX)
            .time_to_live(LEFT_ALONE_FOR)
            .build();
        Arc::new(Self {
            flights,
            waiting: Mutex::default(),
            failed,
            turns,
            next: Mutex::new(None),
        })
    }

    fn maker(&self) -> &Arc<Maker> {
        &self.flights.maker
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    /// Reads no more: whoever waits for a turn gets none.
    pub(super) fn close(&self) {
        self.turns.close();
    }

    /// Wheels in line, or being read.
    pub(super) fn len(&self) -> usize {
        self.waiting().wheels.len()
    }

    /// Notes that this caller asks for a file.
    pub(super) fn sign(&self, who: Fingerprint, file: &FileRef) {
        let mut waiting = self.waiting();
        let Some(reader) = waiting.readers.get_mut(&who) else {
            return;
        };
        reader.seen = clock::now();
        for name in project_candidates(file.filename.as_str()) {
            if let Some((_, taken)) = reader.projects.get_mut(&(file.scope.clone(), name)) {
                *taken = true;
            }
        }
    }

    /// Puts the first of these wheels in line, which this caller has seen on one page.
    pub(super) fn queue(self: &Arc<Self>, caller: &Caller, wheels: Vec<FileRef>) {
        let who = caller.fingerprint();
        let config = self.maker().config();
        if !config.generate || wheels.is_empty() {
            return;
        }
        // A page that says something new: the caller is at work. One that is only looked at again is no sign.
        if let Some(reader) = self.waiting().readers.get_mut(&who) {
            reader.seen = clock::now();
        }
        let hopeful = wheels
            .into_iter()
            .filter(|wheel| !self.has_failed(WheelMark::of(wheel), who));
        for wheel in hopeful.take(config.prefetch) {
            let Some(place) = self.place(who, &wheel) else {
                continue;
            };
            let caller = caller.clone();
            #[expect(
                clippy::disallowed_methods,
                reason = "read for nobody in particular; lost without harm"
            )]
            tokio::spawn(correlation::carried(async move {
                place.line.read(&caller, &place, &wheel).await;
            }));
        }
    }

    /// A place in the line, if there is one and the wheel has none.
    fn place(self: &Arc<Self>, who: Fingerprint, wheel: &FileRef) -> Option<Place> {
        let name = project_candidates(wheel.filename.as_str())
            .into_iter()
            .next()?;
        let (mark, project) = (WheelMark::of(wheel), (wheel.scope.clone(), name));
        let mut waiting = self.waiting();
        if waiting.wheels.len() >= self.maker().config().queue || !waiting.wheels.insert(mark) {
            return None;
        }
        let new = || Reader {
            seen: clock::now(),
            projects: HashMap::new(),
        };
        let reader = waiting.readers.entry(who).or_insert_with(new);
        reader.projects.entry(project.clone()).or_default().0 += 1;
        Some(Place {
            line: Arc::clone(self),
            who,
            mark,
            project,
        })
    }

    async fn read(&self, caller: &Caller, place: &Place, wheel: &FileRef) {
        if !self.is_left(place).await {
            return;
        }
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        let maker = self.maker();
        if maker.known(wheel).await.is_some() {
            return;
        }
        if let Some(held) = maker.held(wheel, clock::now()).await {
            if maker.of_wheel(wheel, held).await.is_none() {
                self.failed.insert((place.mark, None), ());
            }
            return;
        }
        tokio::time::sleep(self.pause(clock::now())).await;
        if place.is_taken() || !maker.can_keep(clock::now()) {
            return;
        }
        // A flight makes it when it lands.
        let Some(pilot) = self.flights.enter(wheel, caller) else {
            return;
        };
        let made = match pilot.look(Some(0)).await {
            Ok(Look::Tail(tail)) => maker
                .of_tail(wheel, caller.credential(), &tail)
                .await
                .map(Remade::As),
            Ok(Look::Whole(flight, _ticket)) => Ok(made_of(maker, wheel, &flight, true).await),
            Err(why) => Err(why),
        };
        match made {
            Ok(Remade::Nothing) => self.failed.insert((place.mark, None), ()),
            Ok(_) | Err(SpansError::NoRanges) => {}
            Err(why) => {
                tracing::debug!(wheel = %wheel.filename, error = %why, "a wheel's metadata cannot be read ahead");
                let refused = matches!(why, SpansError::Refused(_)).then_some(place.who);
                self.failed.insert((place.mark, refused), ());
            }
        }
    }

    /// Waits until the caller rests, and says whether it has left the wheel's project alone.
    async fn is_left(&self, place: &Place) -> bool {
        let delay = self.maker().config().prefetch_delay.0;
        let begun = clock::now();
        tokio::time::sleep(delay).await;
        loop {
            if place.is_taken() {
                return false;
            }
            let now = clock::now();
            let rested = place
                .seen()
                .map_or(delay, |seen| now.saturating_duration_since(seen));
            let waited = now.saturating_duration_since(begun);
            if rested >= delay || waited >= delay.saturating_mul(DELAYS_MAX) {
                return true;
            }
            tokio::time::sleep(delay.saturating_sub(rested)).await;
        }
    }

    fn has_failed(&self, mark: WheelMark, who: Fingerprint) -> bool {
        self.failed.contains_key(&(mark, None)) || self.failed.contains_key(&(mark, Some(who)))
    }

    /// How long this wheel has to wait for the rate's sake.
    fn pause(&self, now: Instant) -> Duration {
        let step = Duration::from_secs(1) / self.maker().config().rate.max(1);
        let mut next = self.next.lock();
        let slot = next.map_or(now, |next| next.max(now));
        *next = Some(slot + step);
        slot.saturating_duration_since(now)
    }
}

/// A wheel's place in the line, given up in whatever way its reading ends.
struct Place {
    line: Arc<ReadAhead>,
    who: Fingerprint,
    mark: WheelMark,
    project: Project,
}

impl Place {
    /// Whether the caller has made its choice.
    fn is_taken(&self) -> bool {
        let waiting = self.line.waiting();
        let reader = waiting.readers.get(&self.who);
        reader
            .and_then(|reader| reader.projects.get(&self.project))
            .is_some_and(|(_, taken)| *taken)
    }

    /// When the caller last asked for anything.
    fn seen(&self) -> Option<Instant> {
        self.line
            .waiting()
            .readers
            .get(&self.who)
            .map(|reader| reader.seen)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.line.waiting();
        waiting.wheels.remove(&self.mark);
        let Some(reader) = waiting.readers.get_mut(&self.who) else {
            return;
        };
        if let Some((count, _)) = reader.projects.get_mut(&self.project) {
            *count -= 1;
            if *count == 0 {
                reader.projects.remove(&self.project);
            }
        }
        if reader.projects.is_empty() {
            waiting.readers.remove(&self.who);
        }
    }
}
