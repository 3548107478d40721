//! How slow the machine is in the meantime: what a wait may exceed its limit by without a fault of
//! larder's.
//!
//! A limit of larder's is a promise, and the time that a busy machine adds is none: it is measured
//! in the same moment, with requests that no limit has a part in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{GitLab, Larder, path, token};

/// Between two measurements.
const PAUSE: Duration = Duration::from_millis(50);

/// What is judged is more work than what is measured, by not more than this.
const WORK: u32 = 10;

/// Asks a larder without any trouble for a page, again and again, each time from GitLab.
#[derive(Debug)]
pub struct Pace {
    taken: Arc<Taken>,
    asking: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Taken {
    is_over: AtomicBool,
    /// When each request began, and how long it took; the last one may be on its way.
    requests: Mutex<Vec<(Instant, Option<Duration>)>>,
}

impl Pace {
    pub fn new(gitlab: &GitLab) -> Self {
        let larder = Larder::start(gitlab);
        let taken = Arc::new(Taken {
            is_over: AtomicBool::new(false),
            requests: Mutex::default(),
        });
        let asked = Arc::clone(&taken);
        let asking = std::thread::spawn(move || asked.ask(&larder));
        Self {
            taken,
            asking: Some(asking),
        }
    }

    /// How long the slowest of them took of those that ended after this moment, or have not yet.
    fn slowest_since(&self, moment: Instant) -> Duration {
        let requests = self.taken.requests();
        let mut slowest = Duration::ZERO;
        for (begun, took) in requests.iter() {
            let took = took.unwrap_or_else(|| begun.elapsed());
            if *begun + took >= moment {
                slowest = slowest.max(took);
            }
        }
        slowest
    }

    /// How long it took what began at this moment and has ended now. Panics if that is more than
    /// the limit and what the machine added.
    #[track_caller]
    pub fn within(&self, limit: Duration, begun: Instant, case: &str) -> Duration {
        let took = begun.elapsed();
        let added = self.slowest_since(begun) * WORK;
        assert!(
            took < limit + added,
            "{case}: {took:?}, and within {limit:?} it should be; a busy machine adds {added:?}"
        );
        took
    }
}

impl Taken {
    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Option<Duration>)>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, larder: &Larder) {
        let reader = larder.client().token(token::READER);
        let page = path::project_page(42, "my-pkg");
        while !self.is_over.load(Ordering::Acquire) {
            let begun = Instant::now();
            self.requests().push((begun, None));
            let reply = reader.get_with(&page, &[("Cache-Control", "no-cache")]);
            reply.expect(200);
            if let Some(request) = self.requests().last_mut() {
                request.1 = Some(begun.elapsed());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.taken.is_over.store(true, Ordering::Release);
        if let Some(asking) = self.asking.take() {
            let asked = asking.join();
            if !std::thread::panicking() {
                asked.expect("a larder without trouble answers");
            }
        }
    }
}
