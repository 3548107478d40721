//! Reading wheels' metadata before anybody asks for it.
//!
//! After a page was served, the wheels on it that have no metadata yet are read in the background, in that caller's
//! name, so that the next page is richer. They are left to that caller for a moment first: a wheel that it downloads
//! yields its metadata anyway. Bounded in number, rate and bytes by `[metadata]`; what failed is left alone
//! for [`LEFT_ALONE_FOR`]. Must not know which wheels are worth it: the caller names them in order.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::flight::Flights;
use super::metadata::Maker;
use super::spans::SpansError;
use crate::access::{Credential, Fingerprint};
use crate::registry::FileRef;
use crate::store::WheelMark;
use crate::{clock, correlation};

/// A wheel that yielded nothing is not read again for so long.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(3600);

/// Wheels remembered to have yielded nothing.
const FAILURES_MAX: u64 = 16_384;

pub(super) struct ReadAhead {
    maker: Arc<Maker>,
    flights: Arc<Flights>,
    waiting: Mutex<HashSet<WheelMark>>,
    /// What failed for everybody, or was refused to one.
    failed: Cache<(WheelMark, Option<Fingerprint>), ()>,
    turns: Semaphore,
    /// When the next wheel may be read.
    next: Mutex<Option<Instant>>,
}

impl ReadAhead {
    pub(super) fn new(maker: Arc<Maker>, flights: Arc<Flights>) -> Arc<Self> {
        let turns = Semaphore::new(maker.config().concurrency.clamp(1, Semaphore::MAX_PERMITS));
        let failed = Cache::builder().max_capacity(FAILURES_MAX).time_to_live(LEFT_ALONE_FOR).build();
        Arc::new(Self { maker, flights, waiting: Mutex::default(), failed, turns, next: Mutex::new(None) })
    }

    /// Reads no more: whoever waits for a turn gets none.
    pub(super) fn close(&self) {
        self.turns.close();
    }

    /// Wheels in line, or being read.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Puts the first of these wheels in line.
    pub(super) fn queue(self: &Arc<Self>, credential: &Credential, who: Fingerprint, wheels: Vec<FileRef>) {
        let config = self.maker.config();
        if !config.make {
            return;
        }
        let hopeful = wheels.into_iter().filter(|wheel| !self.has_failed(WheelMark::of(wheel), who));
        for wheel in hopeful.take(config.ahead) {
            let mark = WheelMark::of(&wheel);
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= config.queue {
                return;
            }
            if waiting.insert(mark) {
                let place = Place { line: Arc::clone(self), mark };
                let credential = credential.clone();
                #[expect(
                    clippy::disallowed_methods,
                    reason = "read for nobody in particular; lost without harm"
                )]
                tokio::spawn(correlation::carried(async move {
                    place.line.read(&credential, who, &wheel).await;
                }));
            }
        }
    }

    async fn read(&self, credential: &Credential, who: Fingerprint, wheel: &FileRef) {
        tokio::time::sleep(self.maker.config().delay.0).await;
        let Ok(_turn) = self.turns.acquire().await else { return };
        // A flight makes it when it lands.
        if self.maker.known(wheel).await.is_some() || self.flights.running(wheel).is_some() {
            return;
        }
        let mark = WheelMark::of(wheel);
        if let Some(held) = self.maker.held(wheel, clock::now()).await {
            if self.maker.of_wheel(wheel, held).await.is_none() {
                self.failed.insert((mark, None), ());
            }
            return;
        }
        tokio::time::sleep(self.pause(clock::now())).await;
        if !self.maker.can_keep(clock::now()) {
            return;
        }
        match self.maker.of_spans(wheel, credential).await {
            Ok(_) | Err(SpansError::NoRanges) => {}
            Err(why) => {
                tracing::debug!(wheel = %wheel.filename, %why, "a wheel's metadata cannot be read ahead");
                let refused = matches!(why, SpansError::Refused(_)).then_some(who);
                self.failed.insert((mark, refused), ());
            }
        }
    }

    fn has_failed(&self, mark: WheelMark, who: Fingerprint) -> bool {
        self.failed.contains_key(&(mark, None)) || self.failed.contains_key(&(mark, Some(who)))
    }

    /// How long this wheel has to wait for the rate's sake.
    fn pause(&self, now: Instant) -> Duration {
        let step = Duration::from_secs(1) / self.maker.config().rate.max(1);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = next.map_or(now, |next| next.max(now));
        *next = Some(slot + step);
        slot.saturating_duration_since(now)
    }
}

/// A wheel's place in the line, given up in whatever way its reading ends.
struct Place {
    line: Arc<ReadAhead>,
    mark: WheelMark,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.mark);
    }
}
