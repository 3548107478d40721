//! The central directory of an archive (APPNOTE 4.3.12), and the one entry in it that is the wheel's `METADATA`.
//!
//! The directory alone decides what is in the archive. Every entry is looked at, because another reader may take any of
//! them for the one that is wanted: names must be plain and unlike each other, members must lie apart, and the only
//! `.dist-info` folder must be this wheel's. Must not know members' content.

use std::collections::HashSet;

use super::end::End;
use super::extra::widened;
use super::fields::Fields;
use super::identity;
use super::member::{LOCAL_HEADER_BYTES, Member};
use super::unreadable::Unreadable;
use crate::simple::WheelFilename;

const ENTRY: &[u8] = b"PK\x01\x02";

/// Bits of a member's flags: encrypted, a patch, strongly encrypted, its header masked.
const UNREADABLE_FLAGS: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;

/// One entry; its numbers are claims.
#[derive(Clone, Copy)]
struct Entry<'a> {
    name: &'a str,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
}

/// Finds the wheel's `METADATA` in its whole directory.
pub(super) fn find(
    directory: &[u8],
    end: &End,
    wheel: &WheelFilename<'_>,
) -> Result<Member, Unreadable> {
    let mut fields = Fields(directory);
    let mut names = HashSet::new();
    let mut spans = Vec::new();
    let mut folder: Option<&str> = None;
    let mut found: Option<Entry<'_>> = None;
    for _ in 0..end.entries {
        let entry = entry(&mut fields)?;
        if !names.insert(entry.name) {
            return Err(Unreadable::Duplicate);
        }
        let least = LOCAL_HEADER_BYTES + entry.name.len() as u64;
        let reach = entry
            .offset
            .checked_add(least)
            .and_then(|reach| reach.checked_add(entry.packed));
        let reach = reach
            .filter(|reach| *reach <= end.directory.start)
            .ok_or(Unreadable::Overlap)?;
        spans.push((entry.offset, reach));
        let Some((top, rest)) = entry.name.split_once('/') else {
            continue;
        };
        if !ends_in_dist_info(top) {
            continue;
        }
        if folder.is_some_and(|known| known != top) {
            return Err(Unreadable::Ambiguous);
        }
        folder = Some(top);
        if rest.eq_ignore_ascii_case("METADATA") {
            let plain = rest == "METADATA" && top.ends_with(DIST_INFO);
            if found.replace(entry).is_some() || !plain {
                return Err(Unreadable::Ambiguous);
            }
        }
    }
    if !fields.is_empty() {
        return Err(Unreadable::Directory);
    }
    spans.sort_unstable();
    if spans.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(Unreadable::Overlap);
    }
    let stem = folder
        .and_then(|folder| folder.strip_suffix(DIST_INFO))
        .ok_or(Unreadable::NoMetadata)?;
    if !identity::owns_folder(wheel, stem) {
        return Err(Unreadable::OtherFolder);
    }
    let entry = found.ok_or(Unreadable::NoMetadata)?;
    let after = spans.partition_point(|(start, _)| *start <= entry.offset);
    let limit = spans
        .get(after)
        .map_or(end.directory.start, |(start, _)| *start);
    Member::new(
        entry.name,
        (entry.flags, entry.method),
        entry.crc,
        (entry.packed, entry.size),
        entry.offset..limit,
    )
}

const DIST_INFO: &str = ".dist-info";

fn ends_in_dist_info(folder: &str) -> bool {
    let stem = folder.len().checked_sub(DIST_INFO.len());
    stem.and_then(|at| folder.get(at..))
        .is_some_and(|ending| ending.eq_ignore_ascii_case(DIST_INFO))
}

fn entry<'a>(fields: &mut Fields<'a>) -> Result<Entry<'a>, Unreadable> {
    let mut read = || {
        fields.exactly(ENTRY)?;
        fields.bytes(4)?; // versions
        let (flags, method) = (fields.u16()?, fields.u16()?);
        fields.bytes(4)?; // time and date
        let crc = fields.u32()?;
        let (packed, size) = (fields.u32()?, fields.u32()?);
        let lengths = (fields.u16()?, fields.u16()?, fields.u16()?);
        let disk = fields.u16()?;
        fields.bytes(6)?; // attributes
        let offset = fields.u32()?;
        let name = fields.bytes(lengths.0.into())?;
        let extra = fields.bytes(lengths.1.into())?;
        fields.bytes(lengths.2.into())?;
        Some((
            flags,
            method,
            crc,
            [size, packed, offset],
            disk,
            name,
            extra,
        ))
    };
    let (flags, method, crc, numbers, disk, name, extra) = read().ok_or(Unreadable::Directory)?;
    if disk != 0 {
        return Err(Unreadable::Disks);
    }
    if flags & UNREADABLE_FLAGS != 0 {
        return Err(Unreadable::Packing);
    }
    let plain = std::str::from_utf8(name).ok().filter(|name| is_plain(name));
    let [size, packed, offset] = widened(numbers, extra, name)?;
    let name = plain.ok_or(Unreadable::MemberName)?;
    Ok(Entry {
        name,
        flags,
        method,
        crc,
        packed,
        size,
        offset,
    })
}

/// Whether every reader understands the same path: below the archive's root, by slashes, to its end.
fn is_plain(name: &str) -> bool {
    let path = name.strip_suffix('/').unwrap_or(name);
    !name.contains(['\0', '\\']) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
