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
pub struct DirectoryEntry<'a> {
    pub name: &'a str,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u64,
    pub size: u64,
    pub offset: u64,
}

impl<'a> DirectoryEntry<'a> {
    /// Takes the next entry from the front of a directory.
    pub fn read(fields: &mut Fields<'a>) -> Result<Self, UnreadableWheel> {
        let raw = RawEntry::read(fields).ok_or(UnreadableWheel::Directory)?;
        let header = raw.header;
        if raw.disk != 0 {
            return Err(UnreadableWheel::Disks);
        }
        if header.flags & UNREADABLE_FLAGS != 0 {
            return Err(UnreadableWheel::Packing);
        }
        let numbers = [header.size, header.packed, raw.offset];
        let [size, packed, offset] = widened(numbers, raw.extra, raw.name)?;
        let Ok(name) = std::str::from_utf8(raw.name) else {
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

/// What an entry of the directory and the member's own header both say.
pub struct CommonHeader {
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u32,
    pub size: u32,
    pub name_bytes: u16,
    pub extra_bytes: u16,
}

impl CommonHeader {
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let flags = fields.u16()?;
        let method = fields.u16()?;
        fields.bytes(4)?; // time and date
        Some(Self {
            flags,
            method,
            crc: fields.u32()?,
            packed: fields.u32()?,
            size: fields.u32()?,
            name_bytes: fields.u16()?,
            extra_bytes: fields.u16()?,
        })
    }
}

/// An entry as it is written.
struct RawEntry<'a> {
    header: CommonHeader,
    disk: u16,
    offset: u32,
    name: &'a [u8],
    extra: &'a [u8],
}

impl<'a> RawEntry<'a> {
    /// `None` if it is cut.
    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        fields.exactly(ENTRY)?;
        fields.bytes(4)?; // versions
        let header = CommonHeader::read(fields)?;
        let comment_bytes = fields.u16()?;
        let disk = fields.u16()?;
        fields.bytes(6)?; // attributes
        let offset = fields.u32()?;
        let name = fields.bytes(header.name_bytes.into())?;
        let extra = fields.bytes(header.extra_bytes.into())?;
        fields.bytes(comment_bytes.into())?;
        Some(Self {
            header,
            disk,
            offset,
            name,
            extra,
        })
    }
}

/// Whether every reader understands the same path: below the archive's root, by slashes, to its
/// end.
fn is_plain(name: &str) -> bool {
    let path = name.strip_suffix('/').unwrap_or(name);
    for part in path.split('/') {
        if matches!(part, "" | "." | "..") {
            return false;
        }
    }
    !name.contains(['\0', '\\'])
}
