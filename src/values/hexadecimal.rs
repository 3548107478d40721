//! Bytes as hexadecimal digits and back, by tables: each answer has some.
//!
//! Pure. Must not know what the bytes are.

/// Each byte as two digits.
const SPELLED: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut spelled = [[0; 2]; 256];
    let mut byte = 0;
    while byte < spelled.len() {
        spelled[byte] = [digits[byte >> 4], digits[byte & 0xf]];
        byte += 1;
    }
    spelled
};

/// Stands for what is no digit.
const NONE: u8 = 16;

/// What each byte stands for as a digit, of either case.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut byte = 0;
    while byte < SPELLED.len() {
        let [high, low] = SPELLED[byte];
        if high == b'0' {
            values[low as usize] = low_half(byte);
            values[low.to_ascii_uppercase() as usize] = low_half(byte);
        }
        byte += 1;
    }
    values
};

#[expect(clippy::cast_possible_truncation, reason = "four bits")]
const fn low_half(byte: usize) -> u8 {
    (byte & 0xf) as u8
}

/// Writes two digits for each byte, as far as there is room.
pub fn spell(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = SPELLED[usize::from(*byte)];
    }
}

/// The byte of two digits.
pub fn read([high, low]: [u8; 2]) -> Option<u8> {
    let high = VALUES[usize::from(high)];
    let low = VALUES[usize::from(low)];
    if (high | low) >= NONE {
        return None;
    }
    Some(high << 4 | low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_back_in_either_case_and_nothing_else_is() {
        for byte in 0..=u8::MAX {
            let mut digits = [0; 2];
            spell(&[byte], &mut digits);
            assert_eq!(digits, format!("{byte:02x}").as_bytes());
            assert_eq!(read(digits), Some(byte));
            assert_eq!(
                read(digits.map(|digit| digit.to_ascii_uppercase())),
                Some(byte)
            );
            let is_digit = byte.is_ascii_hexdigit();
            assert_eq!(read([byte, b'0']).is_some(), is_digit, "{byte}");
            assert_eq!(read([b'f', byte]).is_some(), is_digit, "{byte}");
        }
    }
}
