//! The timer of one HTTP/1.1 connection's request heads.
//!
//! hyper asks for a timer before each head and drops it behind the head: to enter it into the
//! runtime's timers and to take it out again costs as much as to read the head. Here what hyper is
//! given is a deadline, and the connection has one timer of the runtime's, which is moved only when
//! it has run out. Must not know what the time is for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;
use tokio::time::sleep_until;

use crate::values::clock;

#[derive(Clone, Default)]
pub struct HeadTimer(Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>);

struct Deadline {
    at: Instant,
    timer: HeadTimer,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(clock::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Deadline {
            at: deadline,
            timer: self.clone(),
        })
    }

    fn now(&self) -> Instant {
        clock::now()
    }
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.timer.0.lock();
        let at = tokio::time::Instant::from_std(self.at);
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        // Until it runs out it is the timer of a head before.
        loop {
            let runs_out = timer.deadline();
            ready!(timer.as_mut().poll(cx));
            if runs_out >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// For how long a deadline that is so far away is waited for.
    async fn waited(timer: &HeadTimer, away: Duration) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the clock stands still")]
        let begun = tokio::time::Instant::now();
        timer.sleep_until((begun + away).into()).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn each_deadline_is_kept_whatever_became_of_the_one_before() {
        let timer = HeadTimer::default();
        assert_eq!(waited(&timer, 2 * SECOND).await, 2 * SECOND);
        assert_eq!(waited(&timer, SECOND).await, SECOND);
        // One that was left in its middle is still the runtime's timer.
        for left in [3 * SECOND, 9 * SECOND] {
            let begun = waited(&timer, left);
            assert!(timeout(SECOND, begun).await.is_err());
            assert_eq!(waited(&timer, 5 * SECOND).await, 5 * SECOND);
        }
    }
}
