//! Where the records lie: those of a feed, and the operator's own beside them.
//!
//! What is there of one's own is of any age and may be nothing, so that it neither makes a feed look
//! fresh that stands still, nor is in the way when its last record is taken away. Must not know
//! records.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use super::reading::{AdvisoryError, unreadable};
use super::stamp::Stamp;

/// At least one of them is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdvisoryPaths {
    pub feed: Option<PathBuf>,
    pub own: Option<PathBuf>,
}

/// What lies at each path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps {
    pub feed: Option<Stamp>,
    pub own: Option<Stamp>,
}

impl AdvisoryPaths {
    pub fn is_empty(&self) -> bool {
        self.feed.is_none() && self.own.is_none()
    }

    /// # Errors
    /// When a path, or a folder below it, cannot be read.
    pub(super) fn stamps(&self) -> Result<Stamps, AdvisoryError> {
        Ok(Stamps {
            feed: stamp(self.feed.as_ref())?,
            own: stamp(self.own.as_ref())?,
        })
    }
}

fn stamp(path: Option<&PathBuf>) -> Result<Option<Stamp>, AdvisoryError> {
    match path {
        Some(path) => Ok(Some(Stamp::of(path).map_err(unreadable(path))?)),
        None => Ok(None),
    }
}

impl Stamps {
    /// When the records were put there: the feed's, if there is one.
    pub fn dated(&self) -> SystemTime {
        let stamp = self.feed.as_ref().or(self.own.as_ref());
        stamp.map_or(SystemTime::UNIX_EPOCH, Stamp::dated)
    }
}

impl fmt::Display for AdvisoryPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut paths = self.feed.iter().chain(&self.own);
        if let Some(path) = paths.next() {
            write!(f, "{}", path.display())?;
        }
        for path in paths {
            write!(f, ", {}", path.display())?;
        }
        Ok(())
    }
}
