//! The records in force, and how a change of them comes into force.
//!
//! A change is read when it has been still from one look to the next, so that a file which is still
//! being written is not read in the middle; the records of before stay in force until the new ones
//! are read whole. Must not know what follows from a record.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::loaded::LoadedAdvisories;
use super::reading::AdvisoryError;
use super::stamp::Stamp;
use crate::registry::{AdvisoryFeed, FeedState, RecordCounts};
use crate::values::clock;

/// How often a path is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looking at a folder of many files takes a while: at most one part in so many of the time.
const LOOK_SHARE: u32 = 100;

/// How the records stand at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvisoryReading {
    pub counts: RecordCounts,
    /// Since they were put there.
    pub age: Option<Duration>,
    pub state: FeedState,
    /// Whether no page and no file is given for that.
    pub is_closed: bool,
    pub max_age: Duration,
    /// What lies there now cannot be read, and is not in force.
    pub is_refused: bool,
}

/// The records of one path.
pub struct AdvisoryRecords {
    path: PathBuf,
    pub feed: Arc<AdvisoryFeed>,
    loaded: ArcSwapOption<LoadedAdvisories>,
    /// What was seen at the last look; held for as long as one reading takes.
    seen: Mutex<Seen>,
    /// Why what lies there now is not in force. Never held for long, because health asks for it.
    fault: Mutex<Option<String>>,
}

#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    refused: Option<Stamp>,
}

impl AdvisoryRecords {
    pub fn new(path: PathBuf, feed: Arc<AdvisoryFeed>) -> Self {
        Self {
            path,
            feed,
            loaded: ArcSwapOption::default(),
            seen: Mutex::default(),
            fault: Mutex::default(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was last read; nothing if nothing could be.
    pub fn loaded(&self) -> Option<Arc<LoadedAdvisories>> {
        self.loaded.load_full()
    }

    pub fn reading(&self, now: SystemTime) -> AdvisoryReading {
        let counts = match self.feed.set() {
            Some(set) => set.counts,
            None => RecordCounts::default(),
        };
        AdvisoryReading {
            counts,
            age: self.feed.age(now),
            state: self.feed.state(now),
            is_closed: self.feed.closed(now).is_some(),
            max_age: self.feed.max_age(),
            is_refused: self.fault().is_some(),
        }
    }

    /// Why what lies there now is not in force, if it is not.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().clone()
    }

    /// Reads the records now, and brings them into force.
    pub fn load(&self) -> Result<(), AdvisoryError> {
        let mut seen = self.seen.lock();
        match LoadedAdvisories::read(&self.path) {
            Ok(loaded) => {
                *seen = Seen {
                    stamp: Some(loaded.stamp().clone()),
                    ..Seen::default()
                };
                self.take(loaded);
                Ok(())
            }
            Err(why) => {
                *self.fault.lock() = Some(why.to_string());
                Err(why)
            }
        }
    }

    fn take(&self, loaded: LoadedAdvisories) {
        let counts = loaded.set.counts;
        tracing::info!(
            path = %self.path.display(),
            malware = counts.malware,
            vulnerabilities = counts.vulnerabilities,
            packages = counts.packages,
            unreadable = counts.unreadable,
            ignored_ranges = counts.ignored_ranges,
            "advisories are in force"
        );
        for why in &loaded.unreadable {
            tracing::warn!(error = %why, "a record of the advisories cannot be read, and counts for nothing");
        }
        let loaded = Arc::new(loaded);
        let set = Arc::clone(&loaded.set);
        let dated = loaded.dated;
        self.loaded.store(Some(loaded));
        self.feed.replace(set, dated);
        *self.fault.lock() = None;
    }

    /// Looks whether the records changed, and reads them if they did; how long to wait for the next
    /// look. Blocks.
    pub fn look(&self) -> Duration {
        let begun = clock::now();
        let found = Stamp::of(&self.path).ok();
        let mut seen = self.seen.lock();
        let is_still = found.is_some() && found == seen.stamp;
        let in_force = self.loaded();
        let in_force = in_force.as_ref().map(|loaded| loaded.stamp());
        let is_in_force = found.is_some() && found.as_ref() == in_force;
        let is_news = !is_in_force && found != seen.refused;
        seen.stamp.clone_from(&found);
        if found.is_none() {
            let path = self.path.display();
            let fault = format!("{path}: it is not there any more, or cannot be read");
            *self.fault.lock() = Some(fault);
        } else if is_in_force {
            // It was away, or something else was in its place.
            *self.fault.lock() = None;
        }
        if is_still && is_news {
            self.read_anew(&mut seen, found);
        }
        wait_after(begun, clock::now())
    }

    fn read_anew(&self, seen: &mut Seen, found: Option<Stamp>) {
        match LoadedAdvisories::read(&self.path) {
            Ok(loaded) => {
                *seen = Seen {
                    stamp: Some(loaded.stamp().clone()),
                    ..Seen::default()
                };
                self.take(loaded);
            }
            // It is looked at again.
            Err(AdvisoryError::Changed { .. }) => {}
            Err(why) => {
                tracing::error!(
                    error = %why,
                    "the advisories changed and cannot be read; those of before stay in force"
                );
                seen.refused = found;
                *self.fault.lock() = Some(why.to_string());
            }
        }
    }
}

fn wait_after(begun: Instant, now: Instant) -> Duration {
    let took = now.saturating_duration_since(begun);
    LOOK_EVERY.max(took * LOOK_SHARE)
}
