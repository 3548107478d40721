//! The central directory of an archive (APPNOTE 4.3.12), and the one entry in it that is the
//! wheel's `METADATA`.
//!
//! The directory alone decides what is in the archive. Every entry is looked at, because another
//! reader may take any of them for the one that is wanted: names must be plain and unlike each
//! other, members must lie apart, and the only `.dist-info` folder must be this wheel's. Must not
//! know members' content.

use std::collections::HashSet;

use super::directory_entry::DirectoryEntry;
use super::end::EndRecord;
use super::fields::Fields;
use super::identity;
use super::member::{LOCAL_HEADER_BYTES, Member};
use super::unreadable::UnreadableWheel;
use crate::simple::WheelFilename;

/// Finds the wheel's `METADATA` in its whole directory.
pub fn find(
    directory: &[u8],
    end: &EndRecord,
    wheel: &WheelFilename<'_>,
) -> Result<Member, UnreadableWheel> {
    let mut fields = Fields(directory);
    let mut names = HashSet::new();
    let mut spans = Vec::new();
    let mut folder: Option<&str> = None;
    let mut found: Option<DirectoryEntry<'_>> = None;
    for _ in 0..end.entries {
        let entry = DirectoryEntry::read(&mut fields)?;
        if !names.insert(entry.name) {
            return Err(UnreadableWheel::Duplicate);
        }
        spans.push(span(&entry, end)?);
        let Some((top, rest)) = entry.name.split_once('/') else {
            continue;
        };
        if !ends_in_dist_info(top) {
            continue;
        }
        if folder.is_some_and(|known| known != top) {
            return Err(UnreadableWheel::Ambiguous);
        }
        folder = Some(top);
        if rest.eq_ignore_ascii_case("METADATA") {
            let plain = rest == "METADATA" && top.ends_with(DIST_INFO);
            if found.replace(entry).is_some() || !plain {
                return Err(UnreadableWheel::Ambiguous);
            }
        }
    }
    if !fields.is_empty() {
        return Err(UnreadableWheel::Directory);
    }
    spans.sort_unstable();
    if spans.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(UnreadableWheel::Overlap);
    }
    let Some(stem) = folder.and_then(|folder| folder.strip_suffix(DIST_INFO)) else {
        return Err(UnreadableWheel::NoMetadata);
    };
    if !identity::owns_folder(wheel, stem) {
        return Err(UnreadableWheel::OtherFolder);
    }
    let Some(entry) = found else {
        return Err(UnreadableWheel::NoMetadata);
    };
    let after = spans.partition_point(|(start, _)| *start <= entry.offset);
    let limit = match spans.get(after) {
        Some((start, _)) => *start,
        None => end.directory.start,
    };
    Member::new(&entry, limit)
}

const DIST_INFO: &str = ".dist-info";

fn ends_in_dist_info(folder: &str) -> bool {
    match folder.rsplit_once('.') {
        Some((_, ending)) => ending.eq_ignore_ascii_case("dist-info"),
        None => false,
    }
}

/// The least that an entry's member takes up, from its local header on; it ends before the
/// directory.
fn span(entry: &DirectoryEntry<'_>, end: &EndRecord) -> Result<(u64, u64), UnreadableWheel> {
    let least = LOCAL_HEADER_BYTES + entry.name.len() as u64;
    let Some(packed_from) = entry.offset.checked_add(least) else {
        return Err(UnreadableWheel::Overlap);
    };
    match packed_from.checked_add(entry.packed) {
        Some(reach) if reach <= end.directory.start => Ok((entry.offset, reach)),
        _ => Err(UnreadableWheel::Overlap),
    }
}
