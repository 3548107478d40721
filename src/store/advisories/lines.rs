//! Records in one file, one on each line.
//!
//! Must not know what a record says.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::archive::{Place, READ_MAX, RecordArchive};
use super::reading::{AdvisoryError, Reading, unreadable};
use crate::registry::{RECORD_BYTES_MAX, RecordError};

/// Bytes read from the disk at a time.
const BUFFER_BYTES: usize = 1 << 20;

pub(super) fn read(path: &Path, reading: &mut Reading) -> Result<RecordArchive, AdvisoryError> {
    let file = File::open(path).map_err(unreadable(path))?;
    let mut source = BufReader::with_capacity(BUFFER_BYTES, &file);
    let mut places = Vec::new();
    let mut line = Vec::new();
    let mut offset = 0;
    let mut number: u64 = 0;
    loop {
        line.clear();
        let length = read_line(&mut source, &mut line).map_err(unreadable(path))?;
        if length == 0 {
            break;
        }
        number += 1;
        let start = offset;
        offset += length;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let name = format_args!("line {number}");
        if line.len() > RECORD_BYTES_MAX {
            reading.unread(&name, &RecordError::TooLarge)?;
        } else {
            reading.record(&name, &line)?;
        }
        let length = line.len() as u64;
        places.push(Place::Plain { start, length });
    }
    Ok(RecordArchive::File { file, places })
}

/// Reads one line; how many bytes it has in the file. Of one that is too long the rest is passed
/// over.
fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    let mut length = source.by_ref().take(READ_MAX).read_until(b'\n', line)? as u64;
    while length > 0 && line.last() != Some(&b'\n') {
        let more = source.fill_buf()?;
        if more.is_empty() {
            break;
        }
        let end = more.iter().position(|byte| *byte == b'\n');
        let passed = end.map_or(more.len(), |end| end + 1);
        source.consume(passed);
        length += passed as u64;
        if end.is_some() {
            break;
        }
    }
    Ok(length)
}
