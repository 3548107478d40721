//! The records of one path, read.
//!
//! Must not know when they are read.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::archive::RecordArchive;
use super::reading::{AdvisoryError, Reading, unreadable};
use super::stamp::Stamp;
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
    archive: RecordArchive,
    stamp: Stamp,
}

impl LoadedAdvisories {
    /// Reads every record at a path.
    ///
    /// # Errors
    /// When it cannot be read, when not one record in it can, or when it changes meanwhile.
    pub fn read(path: &Path) -> Result<Self, AdvisoryError> {
        let stamp = Stamp::of(path).map_err(unreadable(path))?;
        let mut reading = Reading::new(path);
        let archive = if stamp.is_folder() {
            folder::read(path, &mut reading)?
        } else if zipped::is_zip(path).map_err(unreadable(path))? {
            zipped::read(path, &mut reading)?
        } else {
            lines::read(path, &mut reading)?
        };
        let Reading {
            builder,
            unreadable: named,
            ..
        } = reading;
        let set = builder.finish();
        let path = || path.to_owned();
        if set.counts.readable() == 0 {
            let first = match named.first() {
                Some(first) => format!(" ({first})"),
                None => String::new(),
            };
            return Err(AdvisoryError::Empty {
                path: path(),
                first,
            });
        }
        if Stamp::of(&path()).ok().as_ref() != Some(&stamp) {
            return Err(AdvisoryError::Changed { path: path() });
        }
        Ok(Self {
            set: Arc::new(set),
            dated: stamp.dated(),
            unreadable: named,
            archive,
            stamp,
        })
    }

    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// A record as it was written, by its id.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn record(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        match self.set.place(id) {
            Some(place) => Ok(Some(self.archive.read(place)?)),
            None => Ok(None),
        }
    }

    /// Writes every record that counts, a line each, as [`Self::read`] reads them again.
    ///
    /// # Errors
    /// When one cannot be read any more, or nothing can be written.
    pub fn write_lines(&self, out: &mut dyn io::Write) -> io::Result<()> {
        for place in self.set.all_places() {
            let mut line = self.archive.read(place)?;
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
}
