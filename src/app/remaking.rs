//! The wish that the services be made anew, because what they were made of was forgotten.
//!
//! A command states it on a thread of its own and waits; the task that makes services fulfils it.
//! Must not know why.

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// One wish, answered when the services made after it are in force.
pub(super) type Wish = oneshot::Sender<()>;

#[derive(Default)]
pub(super) struct Remaking(Mutex<Option<mpsc::UnboundedSender<Wish>>>);

impl Remaking {
    /// The wishes from now on; those of before end unfulfilled.
    pub(super) fn wishes(&self) -> mpsc::UnboundedReceiver<Wish> {
        let (wishing, wishes) = mpsc::unbounded_channel();
        *self.0.lock() = Some(wishing);
        wishes
    }

    /// Returns when the services have been made anew, or when no task does that: a daemon inside a
    /// command ends with it. Blocks.
    pub(super) fn wait(&self) {
        let Some(wishing) = self.0.lock().clone() else {
            return;
        };
        let (made, waiting) = oneshot::channel();
        if wishing.send(made).is_ok() {
            // Dropped by a daemon that stops.
            let _ = waiting.blocking_recv();
        }
    }
}
