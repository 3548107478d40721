//! The lock between what puts something into the store and what takes something out of it.
//!
//! A task that makes a blob reachable (places its bytes, writes the line that names it) enters as a
//! writer, any number at a time. What must not meet writers, the removal of what nothing refers to
//! and the rewriting of index files, takes the lock alone for a moment. Entering twice is fine: a
//! writer inside is never waited for by another. Must not know the disk.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::values::digest::Digest;

#[derive(Default)]
pub struct MaintenanceLock {
    state: Mutex<LockState>,
    changed: Condvar,
}

#[derive(Default)]
struct LockState {
    writers: usize,
    is_alone: bool,
    /// What was put in since the watch began.
    watched: Option<HashSet<Digest>>,
}

/// A writer, until this is dropped.
pub struct WriterGuard<'a>(&'a MaintenanceLock);

/// Maintenance, alone until this is dropped.
pub struct ExclusiveGuard<'a>(&'a MaintenanceLock);

/// While this lives, what is put in is noted.
pub struct AdditionsWatch<'a>(&'a MaintenanceLock);

impl MaintenanceLock {
    fn state(&self) -> MutexGuard<'_, LockState> {
        self.state.lock()
    }

    /// Enters to put something in, or to write about it. Blocks while maintenance is alone, which
    /// is never for long.
    pub fn enter(&self, digest: Option<Digest>) -> WriterGuard<'_> {
        let mut state = self.state();
        self.changed.wait_while(&mut state, |state| state.is_alone);
        state.writers += 1;
        if let (Some(watched), Some(digest)) = (&mut state.watched, digest) {
            watched.insert(digest);
        }
        WriterGuard(self)
    }

    /// Takes the lock alone in a moment at which no writer is inside; `None` if there was none for
    /// so long.
    pub fn alone(&self, most: Duration) -> Option<ExclusiveGuard<'_>> {
        let busy = |state: &mut LockState| state.writers > 0 || state.is_alone;
        let mut state = self.state();
        let waited = self.changed.wait_while_for(&mut state, busy, most);
        if waited.timed_out() && busy(&mut state) {
            return None;
        }
        state.is_alone = true;
        Some(ExclusiveGuard(self))
    }

    /// Begins to note what is put in. One watch at a time.
    pub fn watch(&self) -> AdditionsWatch<'_> {
        self.state().watched = Some(HashSet::new());
        AdditionsWatch(self)
    }
}

impl ExclusiveGuard<'_> {
    /// Whether this was put in since the watch began.
    pub fn is_new(&self, digest: Digest) -> bool {
        match &self.0.state().watched {
            Some(watched) => watched.contains(&digest),
            None => false,
        }
    }
}

impl Drop for WriterGuard<'_> {
    fn drop(&mut self) {
        self.0.state().writers -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for ExclusiveGuard<'_> {
    fn drop(&mut self) {
        self.0.state().is_alone = false;
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
    fn maintenance_is_alone_only_without_writers_and_notes_what_they_put_in() {
        let maintenance = MaintenanceLock::default();
        let one = Digest::of(b"one");
        let other = Digest::of(b"other");
        drop(maintenance.enter(Some(other)));
        let watch = maintenance.watch();
        let inside = maintenance.enter(Some(one));
        let again = maintenance.enter(None);
        assert!(maintenance.alone(MOMENT).is_none());
        drop((inside, again));
        let closed = maintenance.alone(MOMENT).expect("no writer is inside");
        assert!(closed.is_new(one) && !closed.is_new(other));
        assert!(maintenance.alone(MOMENT).is_none(), "once at a time");
        drop((closed, watch));
        assert!(
            maintenance
                .alone(MOMENT)
                .is_some_and(|closed| !closed.is_new(one))
        );
    }

    #[test]
    fn a_writer_waits_while_maintenance_is_alone() {
        let maintenance = MaintenanceLock::default();
        let closed = maintenance.alone(MOMENT).expect("no writer is inside");
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| drop(maintenance.enter(None)));
            std::thread::sleep(MOMENT);
            assert!(!waiting.is_finished());
            drop(closed);
        });
    }
}
