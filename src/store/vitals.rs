//! What the store has been through, as numbers, and how the disk fares, by what writing to it met.
//!
//! Nothing here is asked of the disk: a write that fails says what is wrong, the next one that lasts says that it is
//! over. Must not know who shows it.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::error::StoreError;
use super::ledger::Ledger;

/// An eviction of what was used so lately says that the budget is too small for the work.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// No space, or none that we may use.
    Full,
    /// Not to be written to, by anybody or by us.
    ReadOnly,
    /// Anything else.
    Failing,
}

impl Ailment {
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
    why.raw_os_error()
        .map_or_else(|| why.kind().to_string(), |code| io::Error::from_raw_os_error(code).to_string())
}

/// Since when the disk ails, and what it said last.
#[derive(Clone, Debug)]
struct Illness {
    ailment: Ailment,
    since: Instant,
    /// In the system's words, without a path.
    why: String,
    /// The most that was to be written when the disk was full.
    wanted_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Vitals {
    blobs: AtomicU64,
    spool_bytes: AtomicU64,
    evictions: AtomicU64,
    evicted_bytes: AtomicU64,
    evictions_of_recent: AtomicU64,
    quarantined: AtomicU64,
    failures: AtomicU64,
    full: AtomicBool,
    illness: Mutex<Option<Illness>>,
}

/// The store at a moment.
#[derive(Clone, Debug)]
pub struct StoreReading {
    /// Stored or promised to downloads.
    pub bytes: u64,
    pub budget_bytes: u64,
    /// Files, pages' bodies and metadata; complete once all that is there has been counted behind the start.
    pub blobs: u64,
    /// Of files that are not whole yet.
    pub spool_bytes: u64,
    pub evictions: u64,
    pub evicted_bytes: u64,
    /// Evictions of what was read less than a day before.
    pub evictions_of_recent: u64,
    /// Damaged files that were set aside.
    pub quarantined: u64,
    /// Writes that failed.
    pub failures: u64,
    /// The last body that wanted room found none, whatever made way.
    pub full: bool,
    pub illness: Option<(Ailment, Duration, String)>,
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn take(count: &AtomicU64, less: u64) {
    let _ =
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| Some(count.saturating_sub(less)));
}

impl Vitals {
    pub(super) fn blobs_came(&self, count: u64) {
        add(&self.blobs, count);
    }

    pub(super) fn blob_went(&self) {
        take(&self.blobs, 1);
    }

    pub(super) fn spooled(&self, bytes: u64) {
        add(&self.spool_bytes, bytes);
    }

    pub(super) fn unspooled(&self, bytes: u64) {
        take(&self.spool_bytes, bytes);
    }

    /// A blob that was last used at `used` made way.
    pub(super) fn evicted(&self, bytes: u64, used: SystemTime, now: SystemTime) {
        add(&self.evictions, 1);
        add(&self.evicted_bytes, bytes);
        if now.duration_since(used).is_ok_and(|ago| ago < RECENT) {
            add(&self.evictions_of_recent, 1);
        }
        self.blob_went();
    }

    pub(super) fn set_aside(&self) {
        add(&self.quarantined, 1);
        self.blob_went();
    }

    /// Whether the last body that wanted room got it.
    pub(super) fn asked_for_room(&self, got_it: bool) {
        self.full.store(!got_it, Ordering::Relaxed);
    }

    /// A write failed, of a body of so many bytes. That there is no room within the budget is no failure of the disk.
    pub(super) fn failed(&self, why: &StoreError, bytes: u64, now: Instant) {
        let (ailment, text) = match why {
            StoreError::Io { source, .. } => (Ailment::of(source), words(source)),
            StoreError::Index(cacache::Error::IoError(source, _)) => (Ailment::of(source), words(source)),
            StoreError::Index(_) => (Ailment::Failing, "the index is damaged".to_owned()),
            _ => return,
        };
        add(&self.failures, 1);
        let mut illness = self.illness.lock().unwrap_or_else(PoisonError::into_inner);
        let since = illness.as_ref().map_or(now, |before| before.since);
        let wanted = illness.as_ref().map_or(0, |before| before.wanted_bytes);
        let wanted_bytes = if ailment == Ailment::Full { wanted.max(bytes) } else { 0 };
        *illness = Some(Illness { ailment, since, why: text, wanted_bytes });
    }

    /// A write lasts.
    pub(super) fn wrote(&self) {
        *self.illness.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What has to fit on the disk before it counts as well again, in bytes.
    pub(super) fn wanted(&self) -> u64 {
        let illness = self.illness.lock().unwrap_or_else(PoisonError::into_inner);
        illness.as_ref().map_or(0, |illness| illness.wanted_bytes)
    }

    pub(super) fn is_ill(&self) -> bool {
        self.illness.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn read(&self, ledger: &Ledger, now: Instant) -> StoreReading {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let illness = self.illness.lock().unwrap_or_else(PoisonError::into_inner).clone();
        StoreReading {
            bytes: ledger.taken(),
            budget_bytes: ledger.budget(),
            blobs: load(&self.blobs),
            spool_bytes: load(&self.spool_bytes),
            evictions: load(&self.evictions),
            evicted_bytes: load(&self.evicted_bytes),
            evictions_of_recent: load(&self.evictions_of_recent),
            quarantined: load(&self.quarantined),
            failures: load(&self.failures),
            full: self.full.load(Ordering::Relaxed),
            illness: illness
                .map(|illness| (illness.ailment, now.saturating_duration_since(illness.since), illness.why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock;

    fn io(kind: ErrorKind) -> StoreError {
        StoreError::io("write", Path::new("spool"))(kind.into())
    }

    #[test]
    fn a_disk_is_ill_from_its_first_failure_to_the_next_write_that_lasts() {
        let (vitals, ledger, start) = (Vitals::default(), Ledger::new(1), clock::now());
        let illness = |seconds| vitals.read(&ledger, start + Duration::from_secs(seconds)).illness;
        for (after, kind, ailment) in [
            (0, ErrorKind::StorageFull, Ailment::Full),
            (1, ErrorKind::ReadOnlyFilesystem, Ailment::ReadOnly),
            (2, ErrorKind::PermissionDenied, Ailment::ReadOnly),
            (3, ErrorKind::NotADirectory, Ailment::Failing),
        ] {
            vitals.failed(&io(kind), 7, start + Duration::from_secs(after));
            assert_eq!(vitals.wanted(), if ailment == Ailment::Full { 7 } else { 0 });
            let (known, since, why) = illness(10).expect("it is ill");
            assert_eq!((known, since), (ailment, Duration::from_secs(10)));
            assert!(!why.contains("spool"), "a path in {why}");
        }
        vitals.wrote();
        assert!(illness(11).is_none() && !vitals.is_ill());
        vitals.failed(&StoreError::Full { needed: 2 }, 2, start);
        vitals.failed(&StoreError::Resting, 2, start);
        assert!(!vitals.is_ill(), "that is no failure of the disk");
        assert_eq!(vitals.read(&ledger, start).failures, 4);
    }

    #[test]
    fn the_words_are_the_systems_and_name_no_path() {
        let why = tempfile::NamedTempFile::new_in("/dev/null").expect_err("no folder");
        assert!(why.to_string().contains("/dev/null"), "the library adds one: {why}");
        assert_eq!(words(&why), ErrorKind::NotADirectory.to_string());
        assert_eq!(words(&io::Error::from_raw_os_error(30)), "Read-only file system (os error 30)");
        assert_eq!(words(&ErrorKind::StorageFull.into()), ErrorKind::StorageFull.to_string());
    }

    #[test]
    fn who_was_read_within_a_day_is_evicted_too_early() {
        let (vitals, now) = (Vitals::default(), clock::wall());
        vitals.blobs_came(3);
        for hours in [0, 23, 25] {
            vitals.evicted(10, now - Duration::from_secs(hours * 3600), now);
        }
        let read = vitals.read(&Ledger::new(1), clock::now());
        assert_eq!((read.evictions, read.evicted_bytes, read.evictions_of_recent, read.blobs), (3, 30, 2, 0));
    }
}
