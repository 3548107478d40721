//! One entry of an archive's central directory (APPNOTE 4.3.12).
//!
//! Owns its layout, and that its name is plain. Must not know what the other entries say.

use super::extra::widened;
use super::fields::Fields;
use super::unreadable::UnreadableWheel;

const ENTRY: &[u8] = b"PK\x01\x02";

/// Bits of a member's flags: encrypted, a patch, strongly encrypted, its header masked.
const UNREADABLE_FLAGS: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;

/// One entry; its numbers are claims.
#[derive(Clone, Copy)]
pub(super) struct DirectoryEntry<'a> {
    pub(super) name: &'a str,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) packed: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
}

impl<'a> DirectoryEntry<'a> {
    /// Takes the next entry from the front of a directory.
    pub(super) fn read(fields: &mut Fields<'a>) -> Result<Self, UnreadableWheel> {
        let (header, name, extra) = header(fields).ok_or(UnreadableWheel::Directory)?;
        if header.disk != 0 {
            return Err(UnreadableWheel::Disks);
        }
        if header.flags & UNREADABLE_FLAGS != 0 {
            return Err(UnreadableWheel::Packing);
        }
        let [size, packed, offset] =
            widened([header.size, header.packed, header.offset], extra, name)?;
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(UnreadableWheel::MemberName);
        };
        if !is_plain(name) {
            return Err(UnreadableWheel::MemberName);
        }
        Ok(Self {
            name,
            flags: header.flags,
            method: header.method,
            crc: header.crc,
            packed,
            size,
            offset,
        })
    }
}

/// The numbers of an entry as they are written, 32 bits wide.
struct EntryHeader {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u32,
    size: u32,
    disk: u16,
    offset: u32,
}

/// Takes an entry apart, into its numbers, its name and its extra field; `None` if it is cut.
fn header<'a>(fields: &mut Fields<'a>) -> Option<(EntryHeader, &'a [u8], &'a [u8])> {
    fields.exactly(ENTRY)?;
    fields.bytes(4)?; // versions
    let flags = fields.u16()?;
    let method = fields.u16()?;
    fields.bytes(4)?; // time and date
    let crc = fields.u32()?;
    let packed = fields.u32()?;
    let size = fields.u32()?;
    let name_bytes = fields.u16()?;
    let extra_bytes = fields.u16()?;
    let comment_bytes = fields.u16()?;
    let disk = fields.u16()?;
    fields.bytes(6)?; // attributes
    let offset = fields.u32()?;
    let name = fields.bytes(name_bytes.into())?;
    let extra = fields.bytes(extra_bytes.into())?;
    fields.bytes(comment_bytes.into())?;
    let header = EntryHeader {
        flags,
        method,
        crc,
        packed,
        size,
        disk,
        offset,
    };
    Some((header, name, extra))
}

/// Whether every reader understands the same path: below the archive's root, by slashes, to its
/// end.
fn is_plain(name: &str) -> bool {
    let path = name.strip_suffix('/').unwrap_or(name);
    !name.contains(['\0', '\\']) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
