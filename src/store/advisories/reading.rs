//! Records on their way into a set, and what keeps them from it.
//!
//! Owns the limits. Must not know how records lie on the disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::registry::AdvisorySetBuilder;

/// Records of all paths; the feeds of all ecosystems together have some hundred thousand.
const RECORDS_MAX: u32 = 2_000_000;

/// Bytes of all records together, unpacked.
const BYTES_MAX: u64 = 8 << 30;

/// Bytes that they take in memory; those of PyPI have some ten million.
const WEIGHT_MAX: usize = 1 << 30;

/// Records that cannot be read and are named.
const NAMED_MAX: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum AdvisoryError {
    #[error("{path}: {why}")]
    Unreadable { path: PathBuf, why: io::Error },
    #[error("{path}: it is no zip that can be read: {why}")]
    Zip {
        path: PathBuf,
        why: zip::result::ZipError,
    },
    #[error(
        "{path}: it has more than {RECORDS_MAX} records, or more than {BYTES_MAX} bytes of them, or they take more than {WEIGHT_MAX} bytes in memory"
    )]
    TooMany { path: PathBuf },
    #[error("{path}: it has no record of the OSV schema{first}")]
    Empty { path: PathBuf, first: String },
    #[error("{paths}: changed while it was read")]
    Changed { paths: String },
}

pub fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> AdvisoryError + use<> {
    let path = path.to_owned();
    move |why| AdvisoryError::Unreadable { path, why }
}

/// Records on their way into a set.
#[derive(Default)]
pub struct Reading {
    /// Where they are read now.
    path: PathBuf,
    pub builder: AdvisorySetBuilder,
    /// Places given so far.
    records: u32,
    /// Those of them that are records of the schema.
    readable: u32,
    bytes: u64,
    pub unreadable: Vec<String>,
}

impl Reading {
    /// Goes on at a path; the number of its first place.
    pub fn begin(&mut self, path: &Path) -> u32 {
        path.clone_into(&mut self.path);
        self.records
    }

    /// # Errors
    /// When nothing was a record.
    pub fn demand_a_record(&self, path: &Path) -> Result<(), AdvisoryError> {
        if self.readable > 0 {
            return Ok(());
        }
        let first = match self.unreadable.first() {
            Some(first) => format!(" ({first})"),
            None => String::new(),
        };
        let path = path.to_owned();
        Err(AdvisoryError::Empty { path, first })
    }

    /// Takes a record, which is called `name` in messages, and has the next place.
    pub fn record(&mut self, name: &dyn fmt::Display, bytes: &[u8]) -> Result<(), AdvisoryError> {
        self.bytes += bytes.len() as u64;
        match self.builder.add(bytes, self.records) {
            Ok(()) => self.readable += 1,
            Err(why) => self.name(name, &why),
        }
        self.next()
    }

    /// Takes one that cannot even be read as bytes.
    pub fn unread(
        &mut self,
        name: &dyn fmt::Display,
        why: &dyn fmt::Display,
    ) -> Result<(), AdvisoryError> {
        self.builder.note_unreadable();
        self.name(name, why);
        self.next()
    }

    fn next(&mut self) -> Result<(), AdvisoryError> {
        self.records += 1;
        let is_too_heavy = self.builder.weight() > WEIGHT_MAX;
        if self.records > RECORDS_MAX || self.bytes > BYTES_MAX || is_too_heavy {
            let path = self.path.clone();
            return Err(AdvisoryError::TooMany { path });
        }
        Ok(())
    }

    fn name(&mut self, name: &dyn fmt::Display, why: &dyn fmt::Display) {
        if self.unreadable.len() < NAMED_MAX {
            self.unreadable.push(format!("{name}: {why}"));
        }
    }
}
