//! The end of an archive (APPNOTE 4.3.14–4.3.16): where its directory lies.
//!
//! A reader that searches from the back, one from the front and one that trusts zip64 must all come to the same
//! directory, so there is one end record, its comment ends the file, and zip64 records say what it says. Must not know
//! the directory's content.

use super::fields::Fields;
use super::unreadable::Unreadable;
use crate::values::byte_range::Extent;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xffff;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const END_64: &[u8] = b"PK\x06\x06";
const END_64_BYTES: usize = 56;

/// So many bytes at the end of a file hold every end record there can be.
pub(super) const RECORDS_BYTES_MAX: usize =
    END_64_BYTES + LOCATOR_BYTES + END_BYTES + COMMENT_BYTES_MAX;

/// Entries of a directory; more is no wheel.
const ENTRIES_MAX: u64 = 65_536;

/// A whole directory.
const DIRECTORY_BYTES_MAX: u64 = 8 << 20;

/// What the end of an archive says about its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) directory: Extent,
}

/// What an end record says, whole or 64 bits wide.
#[derive(PartialEq, Eq)]
struct Claim {
    entries: u64,
    bytes: u64,
    start: u64,
}

impl End {
    /// Reads the last bytes of a file, which begin at `offset`.
    pub(super) fn find(tail: &[u8], offset: u64) -> Result<Self, Unreadable> {
        let records: Vec<usize> = positions(tail).collect();
        let (&last, others) = records.split_last().ok_or(Unreadable::NoEnd)?;
        if !closes(tail, last) {
            return Err(Unreadable::AfterEnd);
        }
        if others.iter().any(|&other| closes(tail, other)) {
            return Err(Unreadable::TwoEnds);
        }
        let claim = end_record(&tail[last..])?;
        let (claim, end) = match last
            .checked_sub(LOCATOR_BYTES)
            .filter(|at| tail[*at..].starts_with(LOCATOR))
        {
            None => (claim, offset + last as u64),
            Some(locator) => wide(tail, offset, locator, &claim)?,
        };
        if claim.entries > ENTRIES_MAX || claim.bytes > DIRECTORY_BYTES_MAX {
            return Err(Unreadable::TooMany);
        }
        if claim.entries == 0
            || claim.start.checked_add(claim.bytes) != Some(end)
            || claim.start == end
        {
            return Err(Unreadable::Misplaced);
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

fn positions(tail: &[u8]) -> impl Iterator<Item = usize> {
    tail.windows(END.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == END)
        .map(|(at, _)| at)
}

/// Whether an end record here would have a comment that ends where the file ends.
fn closes(tail: &[u8], at: usize) -> bool {
    let mut length = Fields(&tail[at..]);
    length.bytes(END_BYTES - 2).is_some()
        && length
            .u16()
            .is_some_and(|comment| at + END_BYTES + usize::from(comment) == tail.len())
}

fn end_record(record: &[u8]) -> Result<Claim, Unreadable> {
    let mut fields = Fields(record);
    let mut read = || {
        fields.exactly(END)?;
        let disks = (fields.u16()?, fields.u16()?);
        let entries = (fields.u16()?, fields.u16()?);
        Some((
            disks,
            entries,
            u64::from(fields.u32()?),
            u64::from(fields.u32()?),
        ))
    };
    let (disks, entries, bytes, start) = read().ok_or(Unreadable::NoEnd)?;
    let one_disk = matches!(disks, (0 | 0xffff, 0 | 0xffff)) && entries.0 == entries.1;
    one_disk
        .then_some(Claim {
            entries: entries.0.into(),
            bytes,
            start,
        })
        .ok_or(Unreadable::Disks)
}

/// The claim of the zip64 records before an end record, and where they begin.
fn wide(
    tail: &[u8],
    offset: u64,
    locator: usize,
    narrow: &Claim,
) -> Result<(Claim, u64), Unreadable> {
    let mut fields = Fields(&tail[locator..]);
    let mut read = || {
        fields.exactly(LOCATOR)?;
        Some((fields.u32()?, fields.u64()?, fields.u32()?))
    };
    let (disk, place, disks) = read().ok_or(Unreadable::Zip64)?;
    let record = locator.checked_sub(END_64_BYTES).ok_or(Unreadable::Zip64)?;
    let place_fits = place == offset + record as u64;
    let mut fields = Fields(&tail[record..locator]);
    let mut read = || {
        fields.exactly(END_64)?;
        let size = fields.u64()?;
        fields.bytes(4)?; // versions
        let disks = (fields.u32()?, fields.u32()?);
        let entries = (fields.u64()?, fields.u64()?);
        Some((size, disks, entries, fields.u64()?, fields.u64()?))
    };
    let (size, inner_disks, entries, bytes, start) = read().ok_or(Unreadable::Zip64)?;
    if disk != 0 || disks > 1 || inner_disks != (0, 0) || entries.0 != entries.1 {
        return Err(Unreadable::Disks);
    }
    let claim = Claim {
        entries: entries.0,
        bytes,
        start,
    };
    let agrees = |narrow: u64, wide: u64, full: u64| narrow == wide || narrow == full;
    let twins = agrees(narrow.entries, claim.entries, 0xffff)
        && agrees(narrow.bytes, claim.bytes, 0xffff_ffff)
        && agrees(narrow.start, claim.start, 0xffff_ffff);
    // Its size leaves out the signature and itself, and leaves no room for anything else.
    if !place_fits || size != (END_64_BYTES - 12) as u64 || !twins {
        return Err(Unreadable::Zip64);
    }
    Ok((claim, offset + record as u64))
}
