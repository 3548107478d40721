//! Bytes as people read them.
//!
//! Must not know what they are of.

use bytesize::ByteSize;

/// `1.5 GiB`
pub fn in_units(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_have_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (20 << 30, "20.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(in_units(bytes), text);
        }
    }
}
