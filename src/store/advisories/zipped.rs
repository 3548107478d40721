//! Records as JSON files in a zip.
//!
//! The archive is the operator's own, so that a lenient reader does. One member is unpacked at a
//! time, and no further than a record may be large, whatever its header says. Must not know what a
//! record says.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::archive::{Place, READ_MAX, RecordArchive};
use super::reading::{AdvisoryError, Reading, unreadable};

/// How the local header of a zip's first member begins, and the end of an empty one.
const BEGINNINGS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

pub(super) fn is_zip(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut beginning)?;
    Ok(BEGINNINGS.contains(&beginning.as_slice()))
}

pub(super) fn read(path: &Path, reading: &mut Reading) -> Result<RecordArchive, AdvisoryError> {
    let fault = |why: ZipError| AdvisoryError::Zip {
        path: path.to_owned(),
        why,
    };
    let file = File::open(path).map_err(unreadable(path))?;
    let opened = file.try_clone().map_err(unreadable(path))?;
    let mut archive = ZipArchive::new(BufReader::new(opened)).map_err(fault)?;
    let mut places = Vec::new();
    let mut bytes = Vec::new();
    for index in 0..archive.len() {
        let mut member = match archive.by_index(index) {
            Ok(member) => member,
            Err(why) => {
                let name = format!("member {index}");
                reading.unread(&name, &why)?;
                places.push(Place::None);
                continue;
            }
        };
        let name = match member.name() {
            Ok(name) => name.into_owned(),
            Err(_) => format!("member {index}.json"),
        };
        if member.is_dir() || !name.to_ascii_lowercase().ends_with(".json") {
            continue;
        }
        let start = member.data_start();
        let place = match (start, member.compression()) {
            (Some(start), CompressionMethod::Stored) => Place::Plain {
                start,
                length: member.compressed_size(),
            },
            (Some(start), CompressionMethod::Deflated) => Place::Deflated {
                start,
                length: member.compressed_size(),
            },
            _ => Place::None,
        };
        bytes.clear();
        match member.by_ref().take(READ_MAX).read_to_end(&mut bytes) {
            Ok(_) => reading.record(&name, &bytes)?,
            Err(why) => reading.unread(&name, &why)?,
        }
        places.push(place);
    }
    Ok(RecordArchive::File { file, places })
}
