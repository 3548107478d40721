//! What the store has been through, as numbers, and how the disk fares, by what writing to it met.
//!
//! Nothing here is asked of the disk: a write that fails says what is wrong, the next one that
//! lasts says that it is over, unless it is smaller than one that did not fit. Must not know who
//! shows it.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::error::StoreError;
use super::ledger::Ledger;

/// An eviction of what was used so lately says that the budget is too small for the work.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// So long after the last body that did not fit the store counts as full for its kind, though
/// smaller ones fit. Longer than an alert waits, so that one that comes now and then is told of.
const FULL_COUNTS_FOR: Duration = Duration::from_secs(3600);

/// How long a disk that failed is left alone.
pub const BACK_OFF: Duration = Duration::from_secs(30);

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// No space, or none that we may use.
    Full,
    /// Not to be written to, by any process or by us.
    ReadOnly,
    /// Anything else.
    Failing,
}

impl DiskFault {
    fn of(why: &io::Error) -> Self {
        match why.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Self::ReadOnly,
            _ => Self::Failing,
        }
    }
}

/// What the system says, without the paths that libraries add to it.
fn words(why: &io::Error) -> String {
    why.raw_os_error().map_or_else(
        || why.kind().to_string(),
        |code| io::Error::from_raw_os_error(code).to_string(),
    )
}

/// Since when the disk ails, and what it said last.
#[derive(Clone, Debug)]
struct FaultRecord {
    kind: DiskFault,
    since: Instant,
    /// In the system's words, without a path.
    why: String,
    /// The most that was to be written when the disk was full.
    wanted_bytes: u64,
    /// When it last failed.
    last: Instant,
}

/// What found no room within the budget, whatever made way.
#[derive(Clone, Copy, Debug)]
struct Shortage {
    wanted_bytes: u64,
    last: Instant,
}

impl Shortage {
    /// After a body of so many bytes got room, or did not.
    fn after(before: Option<Self>, bytes: u64, got_it: bool, now: Instant) -> Option<Self> {
        let before = before.filter(|before| before.counts(now));
        let wanted = before.map_or(0, |before| before.wanted_bytes);
        match got_it {
            false => Some(Self {
                wanted_bytes: wanted.max(bytes),
                last: now,
            }),
            true => before.filter(|before| before.wanted_bytes > bytes),
        }
    }

    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < FULL_COUNTS_FOR
    }
}

#[derive(Debug, Default)]
pub struct DiskHealth {
    blobs: AtomicU64,
    spool_bytes: AtomicU64,
    evictions: AtomicU64,
    evicted_bytes: AtomicU64,
    evictions_of_recent: AtomicU64,
    quarantined: AtomicU64,
    emptied: AtomicU64,
    failures: AtomicU64,
    shortage: Mutex<Option<Shortage>>,
    fault: Mutex<Option<FaultRecord>>,
    /// After a failed write nothing is written until then.
    backing_off: Mutex<Option<Instant>>,
}

/// The store at a moment.
#[derive(Clone, Debug, Default)]
pub struct StoreReading {
    /// Stored or promised to downloads.
    pub bytes: u64,
    pub budget_bytes: u64,
    /// Files, pages' bodies and metadata; complete once all that is there has been counted behind
    /// the start.
    pub blobs: u64,
    /// Of files that are not whole yet.
    pub spool_bytes: u64,
    pub evictions: u64,
    pub evicted_bytes: u64,
    /// Evictions of what was read less than a day before.
    pub evictions_of_recent: u64,
    /// Damaged files that were set aside.
    pub quarantined: u64,
    /// Bodies that were found without a byte, as a power cut leaves them.
    pub emptied: u64,
    /// Writes that failed.
    pub failures: u64,
    /// A body that wanted room found none, whatever made way, and would find none now.
    pub full: bool,
    pub fault: Option<(DiskFault, Duration, String)>,
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn take(count: &AtomicU64, less: u64) {
    let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
        Some(count.saturating_sub(less))
    });
}

impl DiskHealth {
    pub fn blobs_came(&self, count: u64) {
        add(&self.blobs, count);
    }

    pub fn blob_went(&self) {
        take(&self.blobs, 1);
    }

    pub fn spooled(&self, bytes: u64) {
        add(&self.spool_bytes, bytes);
    }

    pub fn unspooled(&self, bytes: u64) {
        take(&self.spool_bytes, bytes);
    }

    /// A blob that was last used at `used` made way.
    pub fn evicted(&self, bytes: u64, used: SystemTime, now: SystemTime) {
        add(&self.evictions, 1);
        add(&self.evicted_bytes, bytes);
        if now.duration_since(used).is_ok_and(|ago| ago < RECENT) {
            add(&self.evictions_of_recent, 1);
        }
        self.blob_went();
    }

    pub fn quarantined(&self) {
        add(&self.quarantined, 1);
        self.blob_went();
    }

    /// A body was found empty and removed.
    pub fn emptied(&self) {
        add(&self.emptied, 1);
        self.blob_went();
    }

    /// Whether a body of so many bytes got room within the budget.
    pub fn asked_for_room(&self, bytes: u64, got_it: bool, now: Instant) {
        let mut shortage = self.shortage.lock();
        *shortage = Shortage::after(*shortage, bytes, got_it, now);
    }

    /// The budget is another one.
    pub fn budget_changed(&self, budget_bytes: u64) {
        let mut shortage = self.shortage.lock();
        *shortage = shortage.filter(|shortage| shortage.wanted_bytes > budget_bytes);
    }

    /// A write failed, of a body of so many bytes. That there is no room within the budget is no
    /// failure of the disk.
    pub fn failed(&self, why: &StoreError, bytes: u64, now: Instant) {
        let (kind, text) = match why {
            StoreError::Io { source, .. } => (DiskFault::of(source), words(source)),
            StoreError::Index(cacache::Error::IoError(source, _)) => {
                (DiskFault::of(source), words(source))
            }
            StoreError::Index(_) => (DiskFault::Failing, "the index is damaged".to_owned()),
            _ => return,
        };
        add(&self.failures, 1);
        let mut fault = self.fault.lock();
        let since = fault.as_ref().map_or(now, |before| before.since);
        let wanted = fault.as_ref().map_or(0, |before| before.wanted_bytes);
        let wanted_bytes = if kind == DiskFault::Full {
            wanted.max(bytes)
        } else {
            0
        };
        *fault = Some(FaultRecord {
            kind,
            since,
            why: text,
            wanted_bytes,
            last: now,
        });
    }

    /// A write of so many bytes lasts: the disk is well, but for a full one that has no room for
    /// more.
    pub fn wrote(&self, bytes: u64) {
        let mut fault = self.fault.lock();
        *fault = fault.take().filter(|fault| fault.wanted_bytes > bytes);
    }

    /// The disk was looked at, and is well.
    pub fn recovered(&self) {
        *self.fault.lock() = None;
        *self.backing_off.lock() = None;
    }

    pub fn back_off(&self, now: Instant) {
        *self.backing_off.lock() = Some(now + BACK_OFF);
    }

    /// Whether the disk failed less than [`BACK_OFF`] ago.
    pub fn is_backing_off(&self, now: Instant) -> bool {
        let until = *self.backing_off.lock();
        until.is_some_and(|until| now < until)
    }

    /// What has to fit on the disk before it counts as well again, in bytes.
    pub fn wanted(&self, now: Instant) -> u64 {
        let fault = self.fault.lock();
        let lately =
            |fault: &&FaultRecord| now.saturating_duration_since(fault.last) < FULL_COUNTS_FOR;
        fault
            .as_ref()
            .filter(lately)
            .map_or(0, |fault| fault.wanted_bytes)
    }

    pub fn has_fault(&self) -> bool {
        self.fault.lock().is_some()
    }

    pub fn read(&self, ledger: &Ledger, now: Instant) -> StoreReading {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let fault = self.fault.lock().clone();
        let shortage = *self.shortage.lock();
        StoreReading {
            bytes: ledger.taken(),
            budget_bytes: ledger.budget(),
            blobs: load(&self.blobs),
            spool_bytes: load(&self.spool_bytes),
            evictions: load(&self.evictions),
            evicted_bytes: load(&self.evicted_bytes),
            evictions_of_recent: load(&self.evictions_of_recent),
            quarantined: load(&self.quarantined),
            emptied: load(&self.emptied),
            failures: load(&self.failures),
            full: shortage.is_some_and(|shortage| {
                shortage.counts(now)
                    && ledger.budget().saturating_sub(ledger.taken()) < shortage.wanted_bytes
            }),
            fault: fault.map(|fault| {
                (
                    fault.kind,
                    now.saturating_duration_since(fault.since),
                    fault.why,
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::values::clock;

    fn io(kind: ErrorKind) -> StoreError {
        StoreError::io("write", Path::new("spool"))(kind.into())
    }

    #[test]
    fn a_disk_is_ill_from_its_first_failure_to_the_next_write_that_lasts() {
        let health = DiskHealth::default();
        let ledger = Ledger::new(1);
        let start = clock::now();
        let fault = |seconds| {
            health
                .read(&ledger, start + Duration::from_secs(seconds))
                .fault
        };
        for (after, kind, expected) in [
            (0, ErrorKind::StorageFull, DiskFault::Full),
            (1, ErrorKind::ReadOnlyFilesystem, DiskFault::ReadOnly),
            (2, ErrorKind::PermissionDenied, DiskFault::ReadOnly),
            (3, ErrorKind::NotADirectory, DiskFault::Failing),
        ] {
            health.failed(&io(kind), 7, start + Duration::from_secs(after));
            assert_eq!(
                health.wanted(start),
                if expected == DiskFault::Full { 7 } else { 0 }
            );
            let (known, since, why) = fault(10).expect("it is ill");
            assert_eq!((known, since), (expected, Duration::from_secs(10)));
            assert!(!why.contains("spool"), "a path in {why}");
        }
        health.wrote(1);
        assert!(fault(11).is_none() && !health.has_fault());
        health.failed(&StoreError::Full { needed: 2 }, 2, start);
        health.failed(&StoreError::BackingOff, 2, start);
        assert!(!health.has_fault(), "that is no failure of the disk");
        assert_eq!(health.read(&ledger, start).failures, 4);
    }

    #[test]
    fn what_is_full_stays_full_for_as_much_as_did_not_fit() {
        let health = DiskHealth::default();
        let ledger = Ledger::new(100);
        let start = clock::now();
        let full = |after: Duration| health.read(&ledger, start + after).full;
        let hour = FULL_COUNTS_FOR;
        // More than the budget: smaller bodies that fit change nothing.
        health.asked_for_room(200, false, start);
        health.asked_for_room(10, true, start);
        health.asked_for_room(150, false, start + hour / 2);
        health.asked_for_room(199, true, start + hour / 2);
        assert!(
            full(Duration::ZERO) && full(hour),
            "counted from the last one"
        );
        assert!(!full(hour * 3 / 2), "nobody wants it any more");
        health.asked_for_room(200, true, start + hour / 2);
        assert!(!full(hour / 2), "as much has found room");
        // The budget is raised; or what was in the way has gone.
        health.asked_for_room(200, false, start);
        health.budget_changed(199);
        assert!(full(Duration::ZERO));
        health.budget_changed(200);
        assert!(!full(Duration::ZERO));
        health.asked_for_room(60, false, start);
        assert!(!full(Duration::ZERO), "it would fit now");
        // What long ago did not fit is not what has to fit today.
        health.asked_for_room(200, false, start);
        health.asked_for_room(120, false, start + hour);
        health.asked_for_room(120, true, start + hour);
        assert!(!full(hour));
        // The same of the disk.
        health.failed(&io(ErrorKind::StorageFull), 50, start);
        health.wrote(49);
        assert_eq!(
            (
                health.has_fault(),
                health.wanted(start),
                health.wanted(start + hour)
            ),
            (true, 50, 0)
        );
        health.wrote(50);
        assert!(!health.has_fault());
    }

    #[test]
    fn the_words_are_the_systems_and_name_no_path() {
        let why = tempfile::NamedTempFile::new_in("/dev/null").expect_err("no folder");
        assert!(
            why.to_string().contains("/dev/null"),
            "the library adds one: {why}"
        );
        assert_eq!(words(&why), ErrorKind::NotADirectory.to_string());
        assert_eq!(
            words(&io::Error::from_raw_os_error(30)),
            "Read-only file system (os error 30)"
        );
        assert_eq!(
            words(&ErrorKind::StorageFull.into()),
            ErrorKind::StorageFull.to_string()
        );
    }

    #[test]
    fn who_was_read_within_a_day_is_evicted_too_early() {
        let health = DiskHealth::default();
        let now = clock::wall();
        health.blobs_came(3);
        for hours in [0, 23, 25] {
            health.evicted(10, now - Duration::from_secs(hours * 3600), now);
        }
        let read = health.read(&Ledger::new(1), clock::now());
        assert_eq!(
            (
                read.evictions,
                read.evicted_bytes,
                read.evictions_of_recent,
                read.blobs
            ),
            (3, 30, 2, 0)
        );
    }
}
