//! How many clients may be connected at one time, and which goes when all places are taken.
//!
//! The connection that has asked for nothing for the longest goes first: idle connections of one
//! client never keep the others out. Beyond `limits.connections` there are a few places more, whose
//! clients are heard but wait for a usual place before they are served; only a question about
//! larder's own health is answered at once. Must not know what is said over a connection.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::activity::Activity;
use crate::values::clock;

/// Beyond `limits.connections`.
const SPARE: usize = 16;

/// No connection goes that was busy less than this ago: the next request may be under way.
const IDLE_AT_LEAST: Duration = Duration::from_secs(1);

/// Between two looks for a connection that can go, while another waits.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub struct Places {
    usual: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    most: usize,
    /// The connections that have come, by number.
    present: Mutex<HashMap<u64, Activity>>,
    last: AtomicU64,
    /// So many wait for a place.
    waiting: AtomicUsize,
}

/// One connection's place; given back when it is dropped.
pub struct ConnectionPlace {
    places: Arc<Places>,
    number: u64,
    pub activity: Activity,
    permit: Mutex<PlacePermit>,
    /// Whether it is for a usual place: each request asks.
    is_usual: AtomicBool,
    /// Held while one of the connection's requests waits for a usual place, for all of them.
    exchange: AsyncMutex<()>,
}

struct PlacePermit {
    _held: Option<OwnedSemaphorePermit>,
    is_usual: bool,
}

/// Counts a connection that waits.
struct Waiter<'a>(&'a AtomicUsize);

impl Places {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            usual: Arc::new(Semaphore::new(most)),
            spare: Arc::new(Semaphore::new(SPARE)),
            most,
            present: Mutex::default(),
            last: AtomicU64::default(),
            waiting: AtomicUsize::default(),
        })
    }

    /// Returns when there is a place for another connection. It stays, if no other takes it: one
    /// that becomes usual gives back the one that it had.
    pub async fn some_free(&self) {
        drop(self.permit(true).await);
    }

    /// A place for a connection; waits until there is one.
    pub async fn next(self: &Arc<Self>) -> Arc<ConnectionPlace> {
        let permit = self.permit(true).await;
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let activity = Activity::new(clock::now());
        Arc::new(ConnectionPlace {
            places: Arc::clone(self),
            number,
            activity,
            is_usual: AtomicBool::new(permit.is_usual),
            permit: Mutex::new(permit),
            exchange: AsyncMutex::default(),
        })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        let free = self.usual.available_permits() + self.spare.available_permits();
        (self.most + SPARE).saturating_sub(free)
    }

    /// Returns when all have been given back.
    pub async fn all_free(&self) {
        for (places, count) in [(&self.usual, self.most), (&self.spare, SPARE)] {
            // It is never closed.
            let _ = places
                .acquire_many(u32::try_from(count).unwrap_or(u32::MAX))
                .await;
        }
    }

    /// A place that is free, or else one that another connection gives back, or has to.
    async fn permit(&self, spare_will_do: bool) -> PlacePermit {
        match self.at_once(spare_will_do) {
            Some(permit) => permit,
            None => self.wait(spare_will_do).await,
        }
    }

    fn at_once(&self, spare_will_do: bool) -> Option<PlacePermit> {
        let kinds = [(&self.usual, true), (&self.spare, false)];
        for (places, is_usual) in kinds {
            if !is_usual && !spare_will_do {
                continue;
            }
            if let Ok(held) = Arc::clone(places).try_acquire_owned() {
                return Some(PlacePermit {
                    _held: Some(held),
                    is_usual,
                });
            }
        }
        None
    }

    async fn wait(&self, spare_will_do: bool) -> PlacePermit {
        let _waiter = Waiter::new(&self.waiting);
        let [usual, spare] =
            [&self.usual, &self.spare].map(|places| Arc::clone(places).acquire_owned());
        // A connection that waits keeps its turn from one look to the next.
        let mut usual = pin!(usual);
        let mut spare = pin!(spare);
        loop {
            self.show_out(clock::now());
            let (held, is_usual) = tokio::select! {
                biased;
                held = &mut usual => (held, true),
                held = &mut spare, if spare_will_do => (held, false),
                () = sleep(LOOK_EVERY) => continue,
            };
            // It is never closed: there is a permit.
            return PlacePermit {
                _held: held.ok(),
                is_usual,
            };
        }
    }

    /// Asks the connection that has been idle the longest to go, if more wait than are about to go
    /// already. One that was told and serves a request that was under way does not go soon.
    fn show_out(&self, now: Instant) {
        let present = self.present();
        let mut going = 0;
        let mut longest: Option<(Instant, &Activity)> = None;
        for activity in present.values() {
            let Some(since) = activity.idle_since() else {
                continue;
            };
            if activity.is_told_to_go() {
                going += 1;
            } else if longest.is_none_or(|(longest, _)| since < longest) {
                longest = Some((since, activity));
            }
        }
        if going < self.waiting.load(Ordering::Relaxed)
            && let Some((since, activity)) = longest
            && since + IDLE_AT_LEAST <= now
        {
            activity.tell_to_go();
        }
    }

    fn present(&self) -> MutexGuard<'_, HashMap<u64, Activity>> {
        self.present.lock()
    }
}

impl ConnectionPlace {
    /// A connection has come to it.
    pub fn is_taken(&self, now: Instant) {
        self.activity.begins(now);
        self.places
            .present()
            .insert(self.number, self.activity.clone());
    }

    /// Whether its client may be served.
    pub fn is_usual(&self) -> bool {
        self.is_usual.load(Ordering::Relaxed)
    }

    /// Waits for a usual place, in exchange for this one: for one only, however many requests want
    /// it. False if there is none in time.
    pub async fn becomes_usual(&self, limit: Duration) -> bool {
        let exchanged = async {
            let _turn = self.exchange.lock().await;
            if !self.is_usual() {
                let found = self.places.permit(false).await;
                self.is_usual.store(found.is_usual, Ordering::Relaxed);
                *self.permit.lock() = found;
            }
        };
        timeout(limit, exchanged).await.is_ok()
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.places.present().remove(&self.number);
    }
}

impl<'a> Waiter<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn places(count: usize, places: &Arc<Places>) -> Vec<Arc<ConnectionPlace>> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let place = places.next().await;
            place.is_taken(clock::now());
            taken.push(place);
        }
        taken
    }

    /// The same, and they have been idle for long enough.
    async fn places_idle(count: usize, all: &Arc<Places>) -> Vec<Arc<ConnectionPlace>> {
        let taken = places(count, all).await;
        for place in &taken {
            place
                .activity
                .begins(place.activity.idle_since().unwrap() - IDLE_AT_LEAST * 2);
        }
        taken
    }

    fn told(taken: &[Arc<ConnectionPlace>]) -> Vec<bool> {
        taken
            .iter()
            .map(|place| place.activity.is_told_to_go())
            .collect()
    }

    #[tokio::test]
    async fn whoever_was_idle_the_longest_goes_and_only_as_many_as_are_waited_for() {
        let all = Places::new(3);
        let taken = places(3, &all).await;
        let busy = taken[0].activity.begin();
        let now = clock::now();
        all.show_out(now + IDLE_AT_LEAST * 2);
        assert!(
            !taken.iter().any(|place| place.activity.is_told_to_go()),
            "nobody waits"
        );
        let one = Waiter::new(&all.waiting);
        all.show_out(now);
        assert!(
            !taken.iter().any(|place| place.activity.is_told_to_go()),
            "all were busy a moment ago"
        );
        for _ in 0..3 {
            all.show_out(now + IDLE_AT_LEAST * 2);
        }
        assert_eq!(
            told(&taken),
            [false, true, false],
            "the first is busy, and one is waited for"
        );
        let other = Waiter::new(&all.waiting);
        all.show_out(now + IDLE_AT_LEAST * 2);
        assert_eq!(told(&taken), [false, true, true]);
        drop((one, other, busy));
    }

    #[tokio::test]
    async fn whoever_serves_again_after_it_was_told_does_not_count_as_going() {
        let all = Places::new(2);
        let taken = places(2, &all).await;
        let later = clock::now() + IDLE_AT_LEAST * 2;
        let _one = Waiter::new(&all.waiting);
        all.show_out(later);
        assert_eq!(told(&taken), [true, false]);
        let late = taken[0].activity.begin();
        all.show_out(later);
        assert_eq!(
            told(&taken),
            [true, true],
            "the first has a request that was under way"
        );
        drop(late);
    }

    #[tokio::test(start_paused = true)]
    async fn all_requests_of_one_connection_show_out_one_other() {
        let all = Places::new(3);
        let taken = places_idle(3, &all).await;
        let spare = all.next().await;
        let wait = || spare.becomes_usual(Duration::from_secs(5));
        assert_eq!(tokio::join!(wait(), wait(), wait()), (false, false, false));
        assert_eq!(told(&taken), [true, false, false]);
        drop(taken);
        assert_eq!(tokio::join!(wait(), wait(), wait()), (true, true, true));
        assert_eq!(all.taken(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_goes_while_a_place_is_free() {
        let all = Places::new(2);
        let mut taken = places_idle(2, &all).await;
        let spare = all.next().await;
        taken.pop();
        assert!(spare.becomes_usual(Duration::from_secs(5)).await);
        assert_eq!(told(&taken), [false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_spare_place_is_heard_and_waits_for_a_usual_one() {
        let all = Places::new(1);
        let usual = all.next().await;
        let spare = all.next().await;
        assert!(usual.is_usual() && !spare.is_usual() && all.taken() == 2);
        let busy = usual.activity.begin();
        assert!(!spare.becomes_usual(Duration::from_secs(5)).await);
        drop((busy, usual));
        assert!(spare.becomes_usual(Duration::from_secs(5)).await && spare.is_usual());
        drop(spare);
        all.all_free().await;
        assert_eq!(all.present().len(), 0);
    }
}
