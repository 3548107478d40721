//! Extra fields of a header (APPNOTE 4.5), as far as they change what the header says.
//!
//! Must not know which header they belong to.

use super::fields::Fields;
use super::unreadable::UnreadableWheel;

/// Says that a 32-bit number is in the zip64 extra field.
const ELSEWHERE: u32 = 0xffff_ffff;

/// Wide numbers.
const ZIP64: u16 = 0x0001;

/// Another name (Info-ZIP).
const NAME: u16 = 0x7075;

/// Numbers of a header, those that do not fit into 32 bits taken from its extra fields, in the same
/// order.
///
/// A zip64 field holds exactly the numbers that are sent to it; a field that renames must say the
/// same name.
pub fn widened<const N: usize>(
    numbers: [u32; N],
    extra: &[u8],
    name: &[u8],
) -> Result<[u64; N], UnreadableWheel> {
    let mut fields = Fields(extra);
    let mut wide: Option<Fields<'_>> = None;
    while !fields.is_empty() {
        match field(&mut fields).ok_or(UnreadableWheel::Directory)? {
            (ZIP64, _) if wide.is_some() => return Err(UnreadableWheel::Zip64),
            (ZIP64, content) => wide = Some(Fields(content)),
            // A version and a checksum come before the name.
            (NAME, content) if content.get(5..) != Some(name) => {
                return Err(UnreadableWheel::MemberName);
            }
            _ => {}
        }
    }
    let mut widened = [0; N];
    for (wide_number, number) in widened.iter_mut().zip(numbers) {
        *wide_number = match &mut wide {
            Some(wide) if number == ELSEWHERE => wide.u64().ok_or(UnreadableWheel::Zip64)?,
            None if number == ELSEWHERE => return Err(UnreadableWheel::Zip64),
            _ => number.into(),
        };
    }
    match wide {
        Some(left) if !left.is_empty() => Err(UnreadableWheel::Zip64),
        _ => Ok(widened),
    }
}

/// The next extra field: its kind and its content.
fn field<'a>(fields: &mut Fields<'a>) -> Option<(u16, &'a [u8])> {
    let kind = fields.u16()?;
    let length = fields.u16()?;
    Some((kind, fields.bytes(length.into())?))
}
