//! The records of a configuration, read.
//!
//! Must not know when they are read.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::archive::RecordArchive;
use super::paths::{AdvisoryPaths, Stamps};
use super::reading::{AdvisoryError, Reading, unreadable};
use super::{folder, lines, zipped};
use crate::registry::AdvisorySet;

/// What one reading found.
#[derive(Debug)]
pub struct LoadedAdvisories {
    pub set: Arc<AdvisorySet>,
    /// When the records were put there.
    pub dated: SystemTime,
    /// The first of those that cannot be read, and why, a sentence each.
    pub unreadable: Vec<String>,
    archives: Vec<PlacedArchive>,
    stamps: Stamps,
}

/// What was read at one path.
#[derive(Debug)]
struct PlacedArchive {
    /// The number of its first place among those of all paths.
    first: u32,
    archive: RecordArchive,
}

impl LoadedAdvisories {
    /// Reads every record.
    ///
    /// # Errors
    /// When a path cannot be read, when not one record of the feed can, or when anything changes
    /// meanwhile.
    pub fn read(paths: &AdvisoryPaths) -> Result<Self, AdvisoryError> {
        let stamps = paths.stamps()?;
        let mut reading = Reading::default();
        let mut archives = Vec::new();
        if let Some(path) = &paths.feed {
            archives.push(read_path(path, &mut reading)?);
            reading.demand_a_record(path)?;
        }
        if let Some(path) = &paths.own {
            archives.push(read_path(path, &mut reading)?);
        }
        if paths.stamps().ok().as_ref() != Some(&stamps) {
            let paths = paths.to_string();
            return Err(AdvisoryError::Changed { paths });
        }
        Ok(Self {
            set: Arc::new(reading.builder.finish()),
            dated: stamps.dated(),
            unreadable: reading.unreadable,
            archives,
            stamps,
        })
    }

    pub(super) fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// A record as it was written, by its id.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn record(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        match self.set.place(id) {
            Some(place) => Ok(Some(self.at(place)?)),
            None => Ok(None),
        }
    }

    /// Writes every record that counts, a line each, as [`Self::read`] reads them again.
    ///
    /// # Errors
    /// When one cannot be read any more, or nothing can be written.
    pub fn write_lines(&self, out: &mut dyn io::Write) -> io::Result<()> {
        for place in self.set.all_places() {
            let mut line = self.at(place)?;
            // In JSON a line end is white space; within a text it is escaped.
            for byte in &mut line {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            line.push(b'\n');
            out.write_all(&line)?;
        }
        Ok(())
    }

    fn at(&self, place: u32) -> io::Result<Vec<u8>> {
        for PlacedArchive { first, archive } in self.archives.iter().rev() {
            if let Some(number) = place.checked_sub(*first) {
                return archive.read(number);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

fn read_path(path: &Path, reading: &mut Reading) -> Result<PlacedArchive, AdvisoryError> {
    let first = reading.begin(path);
    let archive = if path.is_dir() {
        folder::read(path, reading)?
    } else if zipped::is_zip(path).map_err(unreadable(path))? {
        zipped::read(path, reading)?
    } else {
        lines::read(path, reading)?
    };
    Ok(PlacedArchive { first, archive })
}
