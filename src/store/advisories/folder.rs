//! Records as JSON files below a folder.
//!
//! Must not know what a record says.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use super::archive::{RecordArchive, read_into};
use super::reading::{AdvisoryError, Reading, unreadable};

/// Folders within folders: deeper is a mistake, or a circle.
const DEPTH_MAX: usize = 16;

/// Gives every file and folder below a folder. A link to a folder is not followed.
pub(super) fn each_entry(
    folder: &Path,
    take: &mut dyn FnMut(&DirEntry) -> io::Result<()>,
) -> io::Result<()> {
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            take(&entry)?;
            if entry.file_type()?.is_dir() && depth < DEPTH_MAX {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
    Ok(())
}

pub(super) fn read(folder: &Path, reading: &mut Reading) -> Result<RecordArchive, AdvisoryError> {
    let mut paths = Vec::new();
    let listed = each_entry(folder, &mut |entry| {
        let path = entry.path();
        if is_json(&path) && !entry.file_type()?.is_dir() {
            paths.push(path);
        }
        Ok(())
    });
    listed.map_err(unreadable(folder))?;
    paths.sort_unstable();
    let mut bytes = Vec::new();
    for path in &paths {
        let name = path.strip_prefix(folder).unwrap_or(path).display();
        bytes.clear();
        match read_into(path, &mut bytes) {
            Ok(()) => reading.record(&name, &bytes)?,
            Err(why) => reading.unread(&name, &why)?,
        }
    }
    Ok(RecordArchive::Folder(paths))
}

fn is_json(path: &Path) -> bool {
    let ending = path.extension();
    ending.is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
}
