//! `set`: which files a named set has.
//!
//! The command's body is a line of JSON, then a line for each file: its sha256, two spaces, its
//! address. Must not know how sets are stored.

use std::io;

use serde::{Deserialize, Serialize};

use super::BundleService;
use super::feed::Feed;
use crate::control::Command;
use crate::registry::{FileRef, Route};
use crate::store::{SetName, SetNameError, StoreError};
use crate::values::digest::Digest;

/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 8 << 10;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteSet {
    pub name: String,
    /// Forgets what the set had before.
    pub replace: bool,
    /// Lines that follow.
    pub files: usize,
}

impl Command for WriteSet {
    const NAME: &'static str = "set";
    type Event = Recorded;
}

/// What the set has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub files: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error(transparent)]
    Name(#[from] SetNameError),
    #[error("line {0} is no file: a sha256, two spaces, an address of larder's")]
    Line(usize),
    #[error("the set cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The body of the command that writes a set of these files, as sha256 and address.
pub fn set_body(name: &SetName, replace: bool, files: &[(Digest, String)]) -> String {
    let command = WriteSet {
        name: name.to_string(),
        replace,
        files: files.len(),
    };
    let first = serde_json::to_string(&command).unwrap_or_default();
    let mut body = first + "\n";
    for (sum, address) in files {
        body += &format!("{sum}  {address}\n");
    }
    body
}

impl BundleService {
    /// Writes a set. Files of it need not be cached.
    ///
    /// # Errors
    /// When the body is no list of files; then the set stays as it was.
    pub fn write_set(&self, command: &WriteSet, body: &mut Feed) -> Result<Recorded, SetError> {
        let name = SetName::parse(&command.name)?;
        let mut files = Vec::new();
        for number in 1..=command.files {
            let line = body.line(LINE_BYTES_MAX)?;
            files.push(file_of(&line).ok_or(SetError::Line(number))?);
        }
        let sets = &self.store.sets;
        let files = if command.replace {
            sets.replace(&name, &files)?
        } else {
            sets.add(&name, &files)?
        };
        Ok(Recorded { files })
    }
}

fn file_of(line: &[u8]) -> Option<FileRef> {
    let (sum, address) = std::str::from_utf8(line).ok()?.split_once("  ")?;
    let digest = Digest::parse(sum)?;
    match Route::from_path(address).ok()? {
        Route::File(file) if file.digest == digest => Some(file),
        Route::Mirrored(path) => Some(FileRef::mirrored(&path, digest)),
        _ => None,
    }
}
