//! One run of a piece of work per key, shared by all callers that ask while it runs.
//!
//! The work is a task of its own: a caller that goes away neither stops it nor leaves the others
//! hanging, and a run that panics is told to the waiting as `None`. Must not know what the work is;
//! nothing is remembered after it.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::values::correlation::{self, Correlation};

pub struct SingleFlight<K, V> {
    running: Mutex<HashMap<K, Running<V>>>,
}

struct Running<V> {
    result: watch::Receiver<Option<V>>,
    /// The request that began it.
    begun_by: Option<Arc<Correlation>>,
}

/// What a run gave, and whether this caller found it already running.
#[derive(Debug)]
pub struct SharedResult<V> {
    pub value: V,
    pub joined: bool,
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            running: Mutex::default(),
        })
    }

    /// Runs `work`, or joins the run that is under way. `None` if the run ended without a value.
    pub async fn run<F>(
        self: &Arc<Self>,
        key: K,
        work: impl FnOnce() -> F,
    ) -> Option<SharedResult<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (mut result, joined) = {
            let mut running = self.running.lock();
            match running.get(&key) {
                Some(run) => {
                    if let Some(current) = correlation::current()
                        && let Some(begun_by) = &run.begun_by
                    {
                        current.shares(begun_by);
                    }
                    (run.result.clone(), true)
                }
                None => (self.start(&mut running, key, work()), false),
            }
        };
        let shared = result.wait_for(Option::is_some).await.ok()?;
        let value = shared.clone()?;
        Some(SharedResult { value, joined })
    }

    fn start<F>(
        self: &Arc<Self>,
        running: &mut HashMap<K, Running<V>>,
        key: K,
        work: F,
    ) -> watch::Receiver<Option<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (sender, receiver) = watch::channel(None);
        let begun_by = correlation::current();
        running.insert(
            key.clone(),
            Running {
                result: receiver.clone(),
                begun_by,
            },
        );
        let guard = RunGuard {
            flights: Arc::clone(self),
            key,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the run must outlive the caller that started it"
        )]
        tokio::spawn(correlation::carried(async move {
            let value = work.await;
            // Out of the map first: a caller that asks from here on starts a new run.
            drop(guard);
            sender.send_replace(Some(value));
        }));
        receiver
    }

    /// Whether a run of this key is under way.
    pub fn is_running(&self, key: &K) -> bool {
        self.running.lock().contains_key(key)
    }

    /// Runs under way.
    pub fn len(&self) -> usize {
        self.running.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A key's place in the map, given up also when the work panics.
struct RunGuard<K: Eq + Hash, V> {
    flights: Arc<SingleFlight<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for RunGuard<K, V> {
    fn drop(&mut self) {
        self.flights.running.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_callers_cause_one_run_and_a_vanished_one_stops_nobody() {
        let flights = SingleFlight::<u8, usize>::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let work = || {
            let runs = Arc::clone(&runs);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                runs.fetch_add(1, Ordering::SeqCst)
            }
        };
        let leader = tokio::time::timeout(Duration::from_millis(10), flights.run(7, work)).await;
        assert!(leader.is_err());
        let (a, b) = tokio::join!(flights.run(7, work), flights.run(7, work));
        assert!(a.is_some_and(|shared| shared.joined) && b.is_some_and(|shared| shared.joined));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.is_empty());
        assert!(
            flights
                .run(7, work)
                .await
                .is_some_and(|shared| !shared.joined)
        );
    }

    #[tokio::test]
    async fn a_run_that_panics_is_told_and_leaves_no_trace() {
        let flights = SingleFlight::<u8, u8>::new();
        let fallen = flights
            .run(7, || async { panic!("as the test wants it") })
            .await;
        assert!(fallen.is_none());
        assert!(flights.is_empty());
    }
}
