//! The end of an archive (APPNOTE 4.3.14–4.3.16): where its directory lies.
//!
//! A reader that searches from the back, one from the front and one that trusts zip64 must all come
//! to the same directory, so there is one end record, its comment ends the file, and zip64 records
//! say what it says. Must not know the directory's content.

use super::fields::Fields;
use super::unreadable::UnreadableWheel;
use crate::values::byte_range::Extent;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xffff;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const END_64: &[u8] = b"PK\x06\x06";
const END_64_BYTES: usize = 56;

/// So many bytes at the end of a file hold every end record there can be.
pub const RECORDS_BYTES_MAX: usize = END_64_BYTES + LOCATOR_BYTES + END_BYTES + COMMENT_BYTES_MAX;

/// Entries of a directory; more is no wheel.
const ENTRIES_MAX: u64 = 65_536;

/// A whole directory.
const DIRECTORY_BYTES_MAX: u64 = 8 << 20;

/// What the end of an archive says about its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndRecord {
    pub entries: u64,
    pub directory: Extent,
}

/// What an end record says, whole or 64 bits wide.
#[derive(PartialEq, Eq)]
struct Claim {
    entries: u64,
    bytes: u64,
    start: u64,
}

impl EndRecord {
    /// Reads the last bytes of a file, which begin at `offset`.
    pub fn find(tail: &[u8], offset: u64) -> Result<Self, UnreadableWheel> {
        let records = positions(tail);
        let Some((&last, others)) = records.split_last() else {
            return Err(UnreadableWheel::NoEnd);
        };
        if !closes(tail, last) {
            return Err(UnreadableWheel::AfterEnd);
        }
        let sees_all = offset == 0 || tail.len() >= RECORDS_BYTES_MAX;
        // What is called a comment may begin before these bytes, and hold the record found.
        if !sees_all && last + END_BYTES != tail.len() {
            return Err(UnreadableWheel::Short);
        }
        if others.iter().any(|&other| closes(tail, other)) {
            return Err(UnreadableWheel::TwoEnds);
        }
        let claim = end_record(&tail[last..])?;
        let (claim, end) = match last.checked_sub(LOCATOR_BYTES) {
            Some(locator) if tail[locator..].starts_with(LOCATOR) => {
                wide(tail, offset, locator, &claim)?
            }
            _ => (claim, offset + last as u64),
        };
        if claim.entries > ENTRIES_MAX || claim.bytes > DIRECTORY_BYTES_MAX {
            return Err(UnreadableWheel::TooMany);
        }
        if claim.entries == 0
            || claim.start.checked_add(claim.bytes) != Some(end)
            || claim.start == end
        {
            return Err(UnreadableWheel::Misplaced);
        }
        Ok(Self {
            entries: claim.entries,
            directory: Extent {
                start: claim.start,
                end,
            },
        })
    }
}

/// Where an end record may begin.
fn positions(tail: &[u8]) -> Vec<usize> {
    let mut positions = Vec::new();
    for (at, bytes) in tail.windows(END.len()).enumerate() {
        if bytes == END {
            positions.push(at);
        }
    }
    positions
}

/// Whether an end record here would have a comment that ends where the file ends.
fn closes(tail: &[u8], at: usize) -> bool {
    let mut fields = Fields(&tail[at..]);
    if fields.bytes(END_BYTES - 2).is_none() {
        return false;
    }
    match fields.u16() {
        Some(comment_bytes) => at + END_BYTES + usize::from(comment_bytes) == tail.len(),
        None => false,
    }
}

fn end_record(record: &[u8]) -> Result<Claim, UnreadableWheel> {
    let mut fields = Fields(record);
    let mut read = || {
        fields.exactly(END)?;
        let disks = [fields.u16()?, fields.u16()?];
        let entries_here = fields.u16()?;
        let claim = Claim {
            entries: fields.u16()?.into(),
            bytes: fields.u32()?.into(),
            start: fields.u32()?.into(),
        };
        Some((disks, entries_here, claim))
    };
    let (disks, entries_here, claim) = read().ok_or(UnreadableWheel::NoEnd)?;
    if matches!(disks, [0 | 0xffff, 0 | 0xffff]) && u64::from(entries_here) == claim.entries {
        Ok(claim)
    } else {
        Err(UnreadableWheel::Disks)
    }
}

/// The claim of the zip64 records before an end record, and where they begin.
fn wide(
    tail: &[u8],
    offset: u64,
    locator: usize,
    narrow: &Claim,
) -> Result<(Claim, u64), UnreadableWheel> {
    let mut fields = Fields(&tail[locator..]);
    let mut read = || {
        fields.exactly(LOCATOR)?;
        Some((fields.u32()?, fields.u64()?, fields.u32()?))
    };
    let (disk, place, disks) = read().ok_or(UnreadableWheel::Zip64)?;
    let Some(record) = locator.checked_sub(END_64_BYTES) else {
        return Err(UnreadableWheel::Zip64);
    };
    let place_fits = place == offset + record as u64;
    let mut fields = Fields(&tail[record..locator]);
    let mut read = || {
        fields.exactly(END_64)?;
        let size = fields.u64()?;
        fields.bytes(4)?; // versions
        let own_disks = [fields.u32()?, fields.u32()?];
        let entries_here = fields.u64()?;
        let claim = Claim {
            entries: fields.u64()?,
            bytes: fields.u64()?,
            start: fields.u64()?,
        };
        Some((size, own_disks, entries_here, claim))
    };
    let (size, own_disks, entries_here, claim) = read().ok_or(UnreadableWheel::Zip64)?;
    if disk != 0 || disks > 1 || own_disks != [0, 0] || entries_here != claim.entries {
        return Err(UnreadableWheel::Disks);
    }
    let agrees = |narrow: u64, wide: u64, full: u64| narrow == wide || narrow == full;
    let twins = agrees(narrow.entries, claim.entries, 0xffff)
        && agrees(narrow.bytes, claim.bytes, 0xffff_ffff)
        && agrees(narrow.start, claim.start, 0xffff_ffff);
    // Its size leaves out the signature and itself, and leaves no room for anything else.
    if !place_fits || size != (END_64_BYTES - 12) as u64 || !twins {
        return Err(UnreadableWheel::Zip64);
    }
    Ok((claim, offset + record as u64))
}
