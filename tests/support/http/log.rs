//! The exact record of every request that reached a stand-in.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::head::Head;
use super::kind::{Door, Kind};

/// How the answer to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    NotYet,
    Whole,
    /// A planned fault cut it.
    Cut,
    /// The connection broke, or the peer left.
    PeerLeft,
}

/// One request and its answer, as far as they have got.
#[derive(Clone, Debug)]
pub struct Entry {
    pub door: Door,
    pub kind: Kind,
    pub connection: u64,
    pub head: Head,
    pub at: Instant,
    pub body_received: u64,
    pub status: Option<u16>,
    pub body_sent: u64,
    pub ended: Ended,
    /// A successful GET of this would carry the bytes of a file.
    pub carries_file: bool,
}

impl Entry {
    /// Whether this answer is, or was to be, a transfer of file bytes.
    pub fn is_file_body(&self) -> bool {
        self.carries_file && self.head.method == "GET" && matches!(self.status, Some(200 | 206))
    }
}

/// Transfers of file bytes: how many were started, how many bytes were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileBodies {
    pub transfers: usize,
    pub bytes: u64,
}

/// An entry that is still being filled in.
pub type Record = Arc<Mutex<Entry>>;

#[derive(Clone, Debug, Default)]
pub struct RequestLog(Arc<LogState>);

#[derive(Debug, Default)]
struct LogState {
    entries: Mutex<Vec<Record>>,
    unexpected: Mutex<Vec<String>>,
    opened: AtomicU64,
    closed: AtomicU64,
}

impl RequestLog {
    /// All requests, in the order of their heads.
    pub fn entries(&self) -> Vec<Entry> {
        let records = self.0.entries.lock().expect("no panic holds it");
        records
            .iter()
            .map(|record| record.lock().expect("no panic holds it").clone())
            .collect()
    }

    /// All requests, once none of them waits for its answer any more; panics after a minute.
    pub fn answered(&self) -> Vec<Entry> {
        let all = |log: &Self| {
            log.entries()
                .iter()
                .all(|entry| entry.ended != Ended::NotYet)
        };
        self.wait_until("every request is answered", all);
        self.entries()
    }

    pub fn of(&self, kind: Kind) -> Vec<Entry> {
        self.entries()
            .into_iter()
            .filter(|entry| entry.kind == kind)
            .collect()
    }

    /// The latest request of a kind; panics if there is none.
    pub fn last(&self, kind: Kind) -> Entry {
        self.of(kind)
            .pop()
            .unwrap_or_else(|| panic!("no request of kind {kind:?} has come"))
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.of(kind).len()
    }

    pub fn len(&self) -> usize {
        self.0.entries.lock().expect("no panic holds it").len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In every storage mode: answers 200 and 206 that carry a file's bytes.
    pub fn file_bodies(&self) -> FileBodies {
        let entries = self.entries();
        let bodies = entries.iter().filter(|entry| entry.is_file_body());
        bodies.fold(
            FileBodies {
                transfers: 0,
                bytes: 0,
            },
            |sum, entry| FileBodies {
                transfers: sum.transfers + 1,
                bytes: sum.bytes + entry.body_sent,
            },
        )
    }

    pub fn posts(&self) -> usize {
        self.entries()
            .iter()
            .filter(|entry| entry.head.method == "POST")
            .count()
    }

    /// Connections ever opened to either door.
    pub fn connections_opened(&self) -> u64 {
        self.0.opened.load(Ordering::SeqCst)
    }

    pub fn connections_open(&self) -> u64 {
        self.0.opened.load(Ordering::SeqCst) - self.0.closed.load(Ordering::SeqCst)
    }

    /// Connections that carried the requests now in the log.
    pub fn connections_used(&self) -> usize {
        self.entries()
            .iter()
            .map(|entry| entry.connection)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Forgets all entries and oddities; answers under way are no longer seen.
    pub fn clear(&self) {
        self.0.entries.lock().expect("no panic holds it").clear();
        self.0.unexpected.lock().expect("no panic holds it").clear();
    }

    /// Requests that larder must never send: unknown paths and methods, broken framing, credentials
    /// where they do not belong, private names at a public index.
    pub fn unexpected(&self) -> Vec<String> {
        self.0.unexpected.lock().expect("no panic holds it").clone()
    }

    pub fn assert_nothing_unexpected(&self) {
        let unexpected = self.unexpected();
        assert!(
            unexpected.is_empty(),
            "the stand-in was sent what it must never see: {unexpected:#?}"
        );
    }

    /// Blocks until the log satisfies the test; panics after a minute.
    pub fn wait_until(&self, what: &str, satisfied: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !satisfied(self) {
            assert!(
                Instant::now() < until,
                "not within a minute: {what}; log: {:#?}",
                self.entries()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(in crate::support) fn begin(&self, entry: Entry) -> Record {
        let record = Arc::new(Mutex::new(entry));
        self.0
            .entries
            .lock()
            .expect("no panic holds it")
            .push(Arc::clone(&record));
        record
    }

    pub(in crate::support) fn report(&self, oddity: String) {
        self.0
            .unexpected
            .lock()
            .expect("no panic holds it")
            .push(oddity);
    }

    /// Counts a connection for as long as the guard lives.
    pub(in crate::support) fn connection(&self) -> OpenConnection {
        OpenConnection {
            id: self.0.opened.fetch_add(1, Ordering::SeqCst) + 1,
            log: self.clone(),
        }
    }
}

pub struct OpenConnection {
    pub id: u64,
    log: RequestLog,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.log.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}
