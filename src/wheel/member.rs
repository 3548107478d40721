//! One member of an archive (APPNOTE 4.3.7–4.3.9): its own header, its packed bytes, and what follows them.
//!
//! The header repeats what the directory says, and must agree; a data descriptor likewise. Unpacking stops at the limit
//! whatever was promised, and what comes out must have the promised length and CRC-32. Must not know what a member is
//! for.

use std::ops::Range;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::extra::widened;
use super::fields::Fields;
use super::unreadable::Unreadable;
use crate::values::byte_range::Extent;

const HEADER: &[u8] = b"PK\x03\x04";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

/// A local header without its name and extra field.
pub(super) const LOCAL_HEADER_BYTES: u64 = 30;

/// METADATA, unpacked. The longest known ones hold a long README.
pub(super) const METADATA_BYTES_MAX: u64 = 1 << 20;

/// METADATA, packed: deflate adds five bytes to every 64 KiB that it cannot shorten.
const PACKED_BYTES_MAX: u64 = METADATA_BYTES_MAX + (64 << 10);

/// What can stand in a member besides its header and packed bytes: an extra field and a data descriptor.
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
pub(super) struct Member {
    name: Vec<u8>,
    method: Method,
    described: bool,
    crc: u32,
    packed: u64,
    size: u64,
    place: Extent,
}

impl Member {
    /// `flags` go with the method, the packed size with the unpacked one; `place` reaches up to the next member.
    pub(super) fn new(
        name: &str,
        (flags, method): (u16, u16),
        crc: u32,
        (packed, size): (u64, u64),
        place: Range<u64>,
    ) -> Result<Self, Unreadable> {
        let method = match method {
            0 if packed == size => Method::Stored,
            0 => return Err(Unreadable::Content),
            8 => Method::Deflated,
            _ => return Err(Unreadable::Packing),
        };
        if size > METADATA_BYTES_MAX || packed > PACKED_BYTES_MAX {
            return Err(Unreadable::TooLarge);
        }
        let most = LOCAL_HEADER_BYTES + name.len() as u64 + packed + AROUND_BYTES_MAX;
        let place = Extent {
            start: place.start,
            end: place.end.min(place.start + most),
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
    pub(super) fn place(&self) -> Extent {
        self.place
    }

    /// Unpacks it from the bytes at its place.
    pub(super) fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut fields = Fields(bytes);
        self.check_header(&mut fields)?;
        let packed = usize::try_from(self.packed)
            .ok()
            .and_then(|packed| fields.bytes(packed));
        let packed = packed.ok_or(Unreadable::LocalHeader)?;
        if self.described && !self.is_described_by(fields) {
            return Err(Unreadable::LocalHeader);
        }
        let unpacked = match self.method {
            Method::Stored => packed.to_vec(),
            Method::Deflated => inflate(packed, self.size)?,
        };
        let mut crc = Crc::new();
        crc.update(&unpacked);
        let right = unpacked.len() as u64 == self.size && crc.sum() == self.crc;
        right.then_some(unpacked).ok_or(Unreadable::Content)
    }

    fn check_header(&self, fields: &mut Fields<'_>) -> Result<(), Unreadable> {
        let mut read = || {
            fields.exactly(HEADER)?;
            fields.bytes(2)?; // version
            let (flags, method) = (fields.u16()?, fields.u16()?);
            fields.bytes(4)?; // time and date
            let crc = fields.u32()?;
            let (packed, size) = (fields.u32()?, fields.u32()?);
            let lengths = (fields.u16()?, fields.u16()?);
            Some((
                flags,
                method,
                crc,
                [size, packed],
                fields.bytes(lengths.0.into())?,
                fields.bytes(lengths.1.into())?,
            ))
        };
        let (flags, method, crc, sizes, name, extra) = read().ok_or(Unreadable::LocalHeader)?;
        let [size, packed] = widened(sizes, extra, name)?;
        let method_agrees = method
            == match self.method {
                Method::Stored => 0,
                Method::Deflated => 8,
            };
        let agrees = |own: u64, promised: u64| own == promised || (self.described && own == 0);
        let same = name == self.name
            && method_agrees
            && flags & 1 == 0
            && (flags & DESCRIPTOR_FOLLOWS != 0) == self.described
            && agrees(crc.into(), self.crc.into())
            && agrees(packed, self.packed)
            && agrees(size, self.size);
        same.then_some(()).ok_or(Unreadable::LocalHeader)
    }

    /// Whether a data descriptor, in one of its four forms, says what the directory says.
    fn is_described_by(&self, after: Fields<'_>) -> bool {
        let unsigned = after.0.strip_prefix(DESCRIPTOR).map(Fields);
        [Some(after), unsigned]
            .into_iter()
            .flatten()
            .any(|mut fields| {
                let crc = fields.u32() == Some(self.crc);
                let (mut narrow, mut wide) = (fields, fields);
                let narrow = (narrow.u32().map(u64::from), narrow.u32().map(u64::from));
                let wide = (wide.u64(), wide.u64());
                crc && [narrow, wide].contains(&(Some(self.packed), Some(self.size)))
            })
    }
}

/// Unpacks all of `packed`, no further than one byte past what was promised.
fn inflate(packed: &[u8], promised: u64) -> Result<Vec<u8>, Unreadable> {
    let mut inflater = Decompress::new(false);
    let mut unpacked = Vec::new();
    loop {
        unpacked.reserve(UNPACKED_STEP_BYTES);
        let (taken, made) = (inflater.total_in(), inflater.total_out());
        let rest = usize::try_from(taken)
            .ok()
            .and_then(|taken| packed.get(taken..))
            .unwrap_or_default();
        let status = inflater.decompress_vec(rest, &mut unpacked, FlushDecompress::None);
        if inflater.total_out() > promised {
            return Err(Unreadable::TooLarge);
        }
        match status {
            Ok(Status::StreamEnd) if inflater.total_in() == packed.len() as u64 => {
                return Ok(unpacked);
            }
            Ok(Status::Ok | Status::BufError)
                if (inflater.total_in(), inflater.total_out()) != (taken, made) => {}
            _ => return Err(Unreadable::Content),
        }
    }
}
