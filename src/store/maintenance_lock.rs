//! Who may put something into the store while it is looked after.
//!
//! Whoever makes a blob reachable (places its bytes, writes the line that names it) is inside the maintenance meanwhile, any
//! number at a time. What must not meet them, the removal of what nothing refers to and the rewriting of index files,
//! closes the maintenance for a moment. Going in twice is fine: nobody waits for one who is inside. Must not know the disk.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::values::digest::Digest;

#[derive(Default)]
pub(super) struct MaintenanceLock {
    state: Mutex<LockState>,
    changed: Condvar,
}

#[derive(Default)]
struct LockState {
    inside: usize,
    closed: bool,
    /// What was put in since somebody began to watch.
    watched: Option<HashSet<Digest>>,
}

/// Being inside.
pub(super) struct WriterGuard<'a>(&'a MaintenanceLock);

/// The maintenance, closed and with nobody inside.
pub(super) struct ExclusiveGuard<'a>(&'a MaintenanceLock);

/// While this lives, what is put in is noted.
pub(super) struct AdditionsWatch<'a>(&'a MaintenanceLock);

impl MaintenanceLock {
    fn state(&self) -> MutexGuard<'_, LockState> {
        self.state.lock()
    }

    /// Goes in to put something in, or to write about it. Blocks while the maintenance is closed, which is never for long.
    pub(super) fn enter(&self, digest: Option<Digest>) -> WriterGuard<'_> {
        let mut state = self.state();
        self.changed.wait_while(&mut state, |state| state.closed);
        state.inside += 1;
        if let (Some(watched), Some(digest)) = (&mut state.watched, digest) {
            watched.insert(digest);
        }
        WriterGuard(self)
    }

    /// Closes the maintenance in a moment at which nobody is inside; `None` if there was none for so long.
    pub(super) fn close(&self, most: Duration) -> Option<ExclusiveGuard<'_>> {
        let busy = |state: &mut LockState| state.inside > 0 || state.closed;
        let mut state = self.state();
        let waited = self.changed.wait_while_for(&mut state, busy, most);
        if waited.timed_out() && busy(&mut state) {
            return None;
        }
        state.closed = true;
        Some(ExclusiveGuard(self))
    }

    /// Begins to note what is put in. One watch at a time.
    pub(super) fn watch(&self) -> AdditionsWatch<'_> {
        self.state().watched = Some(HashSet::new());
        AdditionsWatch(self)
    }
}

impl ExclusiveGuard<'_> {
    /// Whether this was put in since the watch began.
    pub(super) fn is_new(&self, digest: Digest) -> bool {
        self.0
            .state()
            .watched
            .as_ref()
            .is_some_and(|watched| watched.contains(&digest))
    }
}

impl Drop for WriterGuard<'_> {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for ExclusiveGuard<'_> {
    fn drop(&mut self) {
        self.0.state().closed = false;
        self.0.changed.notify_all();
    }
}

impl Drop for AdditionsWatch<'_> {
    fn drop(&mut self) {
        self.0.state().watched = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(5);

    #[test]
    fn it_closes_only_when_nobody_is_inside_and_notes_who_came_in() {
        let maintenance = MaintenanceLock::default();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        drop(maintenance.enter(Some(other)));
        let watch = maintenance.watch();
        let inside = maintenance.enter(Some(one));
        let again = maintenance.enter(None);
        assert!(maintenance.close(MOMENT).is_none());
        drop((inside, again));
        let closed = maintenance.close(MOMENT).expect("nobody is inside");
        assert!(closed.is_new(one) && !closed.is_new(other));
        assert!(maintenance.close(MOMENT).is_none(), "once at a time");
        drop((closed, watch));
        assert!(
            maintenance
                .close(MOMENT)
                .is_some_and(|closed| !closed.is_new(one))
        );
    }

    #[test]
    fn who_comes_to_a_closed_gate_waits_until_it_opens() {
        let maintenance = MaintenanceLock::default();
        let closed = maintenance.close(MOMENT).expect("nobody is inside");
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| drop(maintenance.enter(None)));
            std::thread::sleep(MOMENT);
            assert!(!waiting.is_finished());
            drop(closed);
        });
    }
}
