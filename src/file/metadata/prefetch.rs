//! Reading wheels' metadata before a client asks for it.
//!
//! After a page was served, the wheels on it that are most likely wanted and have no metadata yet
//! are read in the background, in that caller's name, so that the next page is richer. They are
//! left to that caller first: once it asks for any file of their project it has made its choice,
//! and nothing of that page is read; as long as it is at work, it may yet come. So an installation
//! costs upstream no bytes that it would not cost anyway. Bounded in number, rate and bytes by
//! `[metadata]`; what failed is left alone for [`LEFT_ALONE_FOR`]. Must not know which wheels are
//! worth it: the caller names them in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::generator::MetadataOutcome;
use super::remote::RemoteError;
use super::wheel::{metadata_of, shared_metadata, stored_wheel};
use crate::access::{Caller, Fingerprint};
use crate::file::download::Downloads;
use crate::file::download::tail_first::TailFirst;
use crate::registry::{FileRef, Scope};
use crate::simple::{ProjectName, project_candidates};
use crate::store::WheelMark;
use crate::values::{clock, correlation};
use crate::wheel::TAIL_BYTES;

/// A wheel that yielded nothing is not read again for so long.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(3600);

/// Wheels remembered to have yielded nothing.
const FAILURES_MAX: u64 = 16_384;

/// So many delays a wheel waits at most for a caller that never rests: mirrors know but one.
const DELAYS_MAX: u32 = 10;

pub struct Prefetcher {
    downloads: Arc<Downloads>,
    waiting: Mutex<PrefetchQueue>,
    /// What failed for every caller, or was refused to one.
    failed: Cache<(WheelMark, Option<Fingerprint>), ()>,
    turns: Semaphore,
    /// When the next wheel may be read.
    next: Mutex<Option<Instant>>,
}

/// Which wheels wait, and for which callers. There is an entry for what is in the queue, and for
/// nothing else.
#[derive(Default)]
struct PrefetchQueue {
    wheels: HashSet<WheelMark>,
    callers: HashMap<Fingerprint, WaitingCaller>,
}

/// A caller in whose name wheels are in the queue.
struct WaitingCaller {
    /// When it last asked for anything.
    seen: Instant,
    /// Wheels in the queue of each project, and whether the caller has asked for a file of it.
    projects: HashMap<ProjectKey, (usize, bool)>,
}

type ProjectKey = (Scope, ProjectName);

impl Prefetcher {
    pub fn new(downloads: Arc<Downloads>) -> Arc<Self> {
        let concurrency = downloads.generator.config.concurrency;
        let turns = Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS));
        let failed = Cache::builder()
            .max_capacity(FAILURES_MAX)
            .time_to_live(LEFT_ALONE_FOR)
            .build();
        Arc::new(Self {
            downloads,
            waiting: Mutex::default(),
            failed,
            turns,
            next: Mutex::new(None),
        })
    }

    /// Reads no more: a wheel that waits for a turn gets none.
    pub fn close(&self) {
        self.turns.close();
    }

    /// Wheels in the queue, or being read.
    pub fn len(&self) -> usize {
        self.waiting.lock().wheels.len()
    }

    /// Notes that this caller asks for a file.
    pub fn note_request(&self, who: Fingerprint, file: &FileRef) {
        let mut waiting = self.waiting.lock();
        let Some(waiting_caller) = waiting.callers.get_mut(&who) else {
            return;
        };
        waiting_caller.seen = clock::now();
        for name in project_candidates(file.filename.as_str()) {
            if let Some((_, taken)) = waiting_caller.projects.get_mut(&(file.scope.clone(), name)) {
                *taken = true;
            }
        }
    }

    /// Puts the first of these wheels in the queue, which this caller has seen on one page.
    pub fn queue(self: &Arc<Self>, caller: &Caller, wheels: Vec<FileRef>) {
        let who = caller.fingerprint();
        let config = &self.downloads.generator.config;
        if !config.generate || wheels.is_empty() {
            return;
        }
        // A page that says something new: the caller is at work. One that is only looked at again
        // is no sign.
        if let Some(waiting_caller) = self.waiting.lock().callers.get_mut(&who) {
            waiting_caller.seen = clock::now();
        }
        let mut left = config.prefetch;
        for wheel in wheels {
            if left == 0 {
                break;
            }
            if self.has_failed(WheelMark::of(&wheel), who) {
                continue;
            }
            left -= 1;
            let Some(slot) = self.slot(who, &wheel) else {
                continue;
            };
            let caller = caller.clone();
            #[expect(
                clippy::disallowed_methods,
                reason = "no client waits for it; lost without harm"
            )]
            tokio::spawn(correlation::carried(async move {
                slot.prefetcher.read(&caller, &slot, &wheel).await;
            }));
        }
    }

    /// A slot in the queue, if there is one and the wheel has none.
    fn slot(self: &Arc<Self>, who: Fingerprint, wheel: &FileRef) -> Option<QueueSlot> {
        let mut names = project_candidates(wheel.filename.as_str()).into_iter();
        let project = (wheel.scope.clone(), names.next()?);
        let mark = WheelMark::of(wheel);
        let mut waiting = self.waiting.lock();
        if waiting.wheels.len() >= self.downloads.generator.config.queue
            || !waiting.wheels.insert(mark)
        {
            return None;
        }
        let new = || WaitingCaller {
            seen: clock::now(),
            projects: HashMap::new(),
        };
        let waiting_caller = waiting.callers.entry(who).or_insert_with(new);
        waiting_caller
            .projects
            .entry(project.clone())
            .or_default()
            .0 += 1;
        Some(QueueSlot {
            prefetcher: Arc::clone(self),
            who,
            mark,
            project,
        })
    }

    async fn read(&self, caller: &Caller, slot: &QueueSlot, wheel: &FileRef) {
        if !self.is_left(slot).await {
            return;
        }
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        let generator = &self.downloads.generator;
        if generator.known(wheel).await.is_some() {
            return;
        }
        if let Some(held) = stored_wheel(&self.downloads, wheel, clock::now()).await {
            if generator.of_wheel(wheel, held).await.is_none() {
                self.failed.insert((slot.mark, None), ());
            }
            return;
        }
        tokio::time::sleep(self.pause(clock::now())).await;
        if slot.is_taken() || !generator.can_keep(clock::now()) {
            return;
        }
        if shared_metadata(&self.downloads, wheel).await.is_some() {
            return;
        }
        // A download makes it when it completes.
        let Some(task) = self.downloads.claim(wheel, caller) else {
            return;
        };
        let why = match task.read_tail(TAIL_BYTES, Some(0)).await {
            Ok(TailFirst::Tail(tail)) => {
                let credential = caller.credential();
                match generator.of_tail(wheel, credential, &tail).await {
                    Ok(_) => return,
                    Err(why) => why,
                }
            }
            Ok(TailFirst::Whole(download, _handle)) => {
                let made = metadata_of(&self.downloads, wheel, &download, true).await;
                if let MetadataOutcome::Nothing = made {
                    self.failed.insert((slot.mark, None), ());
                }
                return;
            }
            Err(why) => why,
        };
        if let RemoteError::NoRanges = why {
            return;
        }
        tracing::debug!(wheel = %wheel.filename, error = %why, "a wheel's metadata cannot be read ahead");
        let refused = match why {
            RemoteError::Refused(_) => Some(slot.who),
            _ => None,
        };
        self.failed.insert((slot.mark, refused), ());
    }

    /// Waits until the caller rests, and says whether it has left the wheel's project alone.
    async fn is_left(&self, slot: &QueueSlot) -> bool {
        let delay = self.downloads.generator.config.prefetch_delay.0;
        let begun = clock::now();
        tokio::time::sleep(delay).await;
        loop {
            if slot.is_taken() {
                return false;
            }
            let now = clock::now();
            let rested = match slot.seen() {
                Some(seen) => now.saturating_duration_since(seen),
                None => delay,
            };
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
        let step = Duration::from_secs(1) / self.downloads.generator.config.rate.max(1);
        let mut next = self.next.lock();
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + step);
        turn.saturating_duration_since(now)
    }
}

/// A wheel's slot in the queue, given up in whatever way its reading ends.
struct QueueSlot {
    prefetcher: Arc<Prefetcher>,
    who: Fingerprint,
    mark: WheelMark,
    project: ProjectKey,
}

impl QueueSlot {
    /// Whether the caller has made its choice.
    fn is_taken(&self) -> bool {
        let waiting = self.prefetcher.waiting.lock();
        let Some(waiting_caller) = waiting.callers.get(&self.who) else {
            return false;
        };
        match waiting_caller.projects.get(&self.project) {
            Some((_, taken)) => *taken,
            None => false,
        }
    }

    /// When the caller last asked for anything.
    fn seen(&self) -> Option<Instant> {
        let waiting = self.prefetcher.waiting.lock();
        Some(waiting.callers.get(&self.who)?.seen)
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        let mut waiting = self.prefetcher.waiting.lock();
        waiting.wheels.remove(&self.mark);
        let Some(waiting_caller) = waiting.callers.get_mut(&self.who) else {
            return;
        };
        if let Some((count, _)) = waiting_caller.projects.get_mut(&self.project) {
            *count -= 1;
            if *count == 0 {
                waiting_caller.projects.remove(&self.project);
            }
        }
        if waiting_caller.projects.is_empty() {
            waiting.callers.remove(&self.who);
        }
    }
}
