//! The records in force, and how a change of them comes into force.
//!
//! A change is read when it has been still from one look to the next, so that a file which is still
//! being written is not read in the middle; the records of before stay in force until the new ones
//! are read whole. Must not know what follows from a record.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::loaded::LoadedAdvisories;
use super::paths::{AdvisoryPaths, Stamps};
use super::reading::AdvisoryError;
use crate::registry::{AdvisoryFeed, FeedState, RecordCounts};
use crate::values::clock;

/// How often the paths are looked at.
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

/// The records of a configuration.
pub struct AdvisoryRecords {
    paths: AdvisoryPaths,
    pub feed: Arc<AdvisoryFeed>,
    loaded: ArcSwapOption<LoadedAdvisories>,
    /// What was seen at the last look; held for as long as one reading takes.
    seen: Mutex<Seen>,
    /// Why what lies there now is not in force. Never held for long, because health asks for it.
    fault: Mutex<Option<String>>,
}

#[derive(Default)]
struct Seen {
    stamps: Option<Stamps>,
    refused: Option<Stamps>,
}

impl AdvisoryRecords {
    pub fn new(paths: AdvisoryPaths, feed: Arc<AdvisoryFeed>) -> Self {
        Self {
            paths,
            feed,
            loaded: ArcSwapOption::default(),
            seen: Mutex::default(),
            fault: Mutex::default(),
        }
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
        match LoadedAdvisories::read(&self.paths) {
            Ok(loaded) => {
                *seen = Seen {
                    stamps: Some(loaded.stamps().clone()),
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
            path = %self.paths,
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
        let looked = self.paths.stamps();
        let mut seen = self.seen.lock();
        if let Err(why) = &looked {
            *self.fault.lock() = Some(why.to_string());
        }
        let found = looked.ok();
        let is_still = found.is_some() && found == seen.stamps;
        let in_force = self.loaded();
        let in_force = in_force.as_ref().map(|loaded| loaded.stamps());
        let is_in_force = found.is_some() && found.as_ref() == in_force;
        let is_news = !is_in_force && found != seen.refused;
        seen.stamps.clone_from(&found);
        if is_in_force {
            // It was away, or something else was in its place.
            *self.fault.lock() = None;
        }
        if is_still && is_news {
            self.read_anew(&mut seen, found);
        }
        wait_after(begun, clock::now())
    }

    fn read_anew(&self, seen: &mut Seen, found: Option<Stamps>) {
        match LoadedAdvisories::read(&self.paths) {
            Ok(loaded) => {
                *seen = Seen {
                    stamps: Some(loaded.stamps().clone()),
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
