//! Bytes and counts as people read them.
//!
//! Must not know what they are of.

/// `1.5 MiB`: three digits are enough to compare.
pub fn in_units(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => {
            let (whole, rest) = (bytes >> shift, bytes & ((1 << shift) - 1));
            format!("{whole}.{} {unit}", (rest * 10) >> shift)
        }
        None => format!("{bytes} B"),
    }
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
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
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(in_units(bytes), text);
        }
    }
}
