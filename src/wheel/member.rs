//! One member of an archive (APPNOTE 4.3.7–4.3.9): its own header, its packed bytes, and what
//! follows them.
//!
//! The header repeats what the directory says, and must agree; a data descriptor likewise.
//! Unpacking stops at the limit whatever was promised, and what comes out must have the promised
//! length and CRC-32. Must not know what a member is for.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::directory_entry::{CommonHeader, DirectoryEntry};
use super::extra::widened;
use super::fields::Fields;
use super::unreadable::UnreadableWheel;
use crate::values::byte_range::Extent;

const HEADER: &[u8] = b"PK\x03\x04";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

/// A local header without its name and extra field.
pub const LOCAL_HEADER_BYTES: u64 = 30;

/// METADATA, unpacked. The longest known ones hold a long README.
pub const METADATA_BYTES_MAX: u64 = 1 << 20;

/// METADATA, packed: deflate adds five bytes to every 64 KiB that it cannot shorten.
const PACKED_BYTES_MAX: u64 = METADATA_BYTES_MAX + (64 << 10);

/// What can stand in a member besides its header and packed bytes: an extra field and a data
/// descriptor.
const AROUND_BYTES_MAX: u64 = 0xffff + 24;

/// Room made for unpacked bytes at a time.
const UNPACKED_STEP_BYTES: usize = 16 << 10;

/// The sizes and the checksum follow the data.
const DESCRIPTOR_FOLLOWS: u16 = 1 << 3;

#[derive(Clone, Copy)]
enum Method {
    Stored,
    Deflated,
}

/// A member as the directory describes it.
pub struct Member {
    name: Vec<u8>,
    method: Method,
    described: bool,
    crc: u32,
    packed: u64,
    size: u64,
    place: Extent,
}

impl Member {
    /// `limit` is where the next member begins.
    pub fn new(entry: &DirectoryEntry<'_>, limit: u64) -> Result<Self, UnreadableWheel> {
        let DirectoryEntry {
            name,
            flags,
            method,
            crc,
            packed,
            size,
            offset,
        } = *entry;
        let method = match method {
            0 if packed == size => Method::Stored,
            0 => return Err(UnreadableWheel::Content),
            8 => Method::Deflated,
            _ => return Err(UnreadableWheel::Packing),
        };
        if size > METADATA_BYTES_MAX || packed > PACKED_BYTES_MAX {
            return Err(UnreadableWheel::TooLarge);
        }
        let most = LOCAL_HEADER_BYTES + name.len() as u64 + packed + AROUND_BYTES_MAX;
        let place = Extent {
            start: offset,
            end: limit.min(offset + most),
        };
        let described = flags & DESCRIPTOR_FOLLOWS != 0;
        Ok(Self {
            name: name.as_bytes().to_vec(),
            method,
            described,
            crc,
            packed,
            size,
            place,
        })
    }

    /// Where its bytes are, and a little more.
    pub fn place(&self) -> Extent {
        self.place
    }

    /// Unpacks it from the bytes at its place.
    pub fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>, UnreadableWheel> {
        let mut fields = Fields(bytes);
        self.check_header(&mut fields)?;
        // The packed size is below a limit that fits everywhere.
        let length = usize::try_from(self.packed).unwrap_or(usize::MAX);
        let Some(packed) = fields.bytes(length) else {
            return Err(UnreadableWheel::LocalHeader);
        };
        if self.described && !self.is_described_by(fields) {
            return Err(UnreadableWheel::LocalHeader);
        }
        let unpacked = match self.method {
            Method::Stored => packed.to_vec(),
            Method::Deflated => inflate(packed, self.size)?,
        };
        let mut crc = Crc::new();
        crc.update(&unpacked);
        if unpacked.len() as u64 == self.size && crc.sum() == self.crc {
            Ok(unpacked)
        } else {
            Err(UnreadableWheel::Content)
        }
    }

    fn check_header(&self, fields: &mut Fields<'_>) -> Result<(), UnreadableWheel> {
        let mut read = || {
            fields.exactly(HEADER)?;
            fields.bytes(2)?; // version
            let header = CommonHeader::read(fields)?;
            let name = fields.bytes(header.name_bytes.into())?;
            let extra = fields.bytes(header.extra_bytes.into())?;
            Some((header, name, extra))
        };
        let (header, name, extra) = read().ok_or(UnreadableWheel::LocalHeader)?;
        let [size, packed] = widened([header.size, header.packed], extra, name)?;
        let method = match self.method {
            Method::Stored => 0,
            Method::Deflated => 8,
        };
        let agrees = |own: u64, promised: u64| own == promised || (self.described && own == 0);
        let same = name == self.name
            && header.method == method
            && header.flags & 1 == 0
            && (header.flags & DESCRIPTOR_FOLLOWS != 0) == self.described
            && agrees(header.crc.into(), self.crc.into())
            && agrees(packed, self.packed)
            && agrees(size, self.size);
        if same {
            Ok(())
        } else {
            Err(UnreadableWheel::LocalHeader)
        }
    }

    /// Whether a data descriptor, in one of its four forms, says what the directory says.
    fn is_described_by(&self, after: Fields<'_>) -> bool {
        if self.is_told_by(after) {
            return true;
        }
        match after.0.strip_prefix(DESCRIPTOR) {
            Some(unsigned) => self.is_told_by(Fields(unsigned)),
            None => false,
        }
    }

    /// Whether its CRC-32 and sizes follow, the sizes 32 or 64 bits wide.
    fn is_told_by(&self, mut fields: Fields<'_>) -> bool {
        let crc = fields.u32();
        let mut narrow = fields;
        let narrow = [narrow.u32().map(u64::from), narrow.u32().map(u64::from)];
        let wide = [fields.u64(), fields.u64()];
        crc == Some(self.crc) && [narrow, wide].contains(&[Some(self.packed), Some(self.size)])
    }
}

/// Unpacks all of `packed`, no further than one byte past what was promised.
fn inflate(packed: &[u8], promised: u64) -> Result<Vec<u8>, UnreadableWheel> {
    let mut inflater = Decompress::new(false);
    let mut unpacked = Vec::new();
    loop {
        unpacked.reserve(UNPACKED_STEP_BYTES);
        let taken = inflater.total_in();
        let made = inflater.total_out();
        let from = usize::try_from(taken).unwrap_or(usize::MAX);
        let rest = packed.get(from..).unwrap_or_default();
        let status = inflater.decompress_vec(rest, &mut unpacked, FlushDecompress::None);
        if inflater.total_out() > promised {
            return Err(UnreadableWheel::TooLarge);
        }
        match status {
            Ok(Status::StreamEnd) if inflater.total_in() == packed.len() as u64 => {
                return Ok(unpacked);
            }
            Ok(Status::Ok | Status::BufError)
                if (inflater.total_in(), inflater.total_out()) != (taken, made) => {}
            _ => return Err(UnreadableWheel::Content),
        }
    }
}
