//! `Range: bytes=…` (RFC 9110 §14.1.2): one range, as asked and as it falls on a file.
//!
//! Pure. Several ranges, other units and nonsense are no range at all, which the RFC allows a
//! server to answer with the whole. Must not know files.

/// One byte range as a client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `a-b` or `a-`; both ends included.
    From { first: u64, last: Option<u64> },
    /// `-n`: the last `n` bytes.
    Suffix(u64),
}

/// Bytes of a file: `start` included, `end` not. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub start: u64,
    pub end: u64,
}

impl Extent {
    pub fn bytes(self) -> u64 {
        self.end - self.start
    }
}

impl ByteRange {
    pub fn parse(field: &str) -> Option<Self> {
        let (unit, spec) = field.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = spec.trim().split_once('-')?;
        let number = |digits: &str| -> Option<u64> {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            // A number beyond u64 lies beyond any file.
            Some(digits.parse().unwrap_or(u64::MAX))
        };
        match (number(first), number(last)) {
            (Some(first), last @ Some(end)) if first <= end => Some(Self::From { first, last }),
            (Some(first), None) if last.is_empty() => Some(Self::From { first, last: None }),
            (None, Some(length)) if first.is_empty() => Some(Self::Suffix(length)),
            _ => None,
        }
    }

    /// Where the range falls on a file of this size; `None` is "not satisfiable".
    pub fn on(self, size: u64) -> Option<Extent> {
        let (start, end) = match self {
            Self::From { first, last: None } => (first, size),
            Self::From {
                first,
                last: Some(last),
            } => (first, last.saturating_add(1).min(size)),
            Self::Suffix(length) => (size.saturating_sub(length), size),
        };
        if start < end {
            Some(Extent { start, end })
        } else {
            None
        }
    }

    /// The range in its one spelling, for asking upstream.
    pub fn field(self) -> String {
        match self {
            Self::From {
                first,
                last: Some(last),
            } => format!("bytes={first}-{last}"),
            Self::From { first, last: None } => format!("bytes={first}-"),
            Self::Suffix(length) => format!("bytes=-{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range() -> impl Strategy<Value = ByteRange> {
        prop_oneof![
            (any::<u64>(), any::<u64>()).prop_map(|(a, b)| ByteRange::From {
                first: a.min(b),
                last: Some(a.max(b))
            }),
            any::<u64>().prop_map(|first| ByteRange::From { first, last: None }),
            any::<u64>().prop_map(ByteRange::Suffix),
            (0..3000u64).prop_map(ByteRange::Suffix),
            (0..3000u64, 0..3000u64).prop_map(|(first, more)| ByteRange::From {
                first,
                last: Some(first + more)
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(range in range()) {
            prop_assert_eq!(ByteRange::parse(&range.field()), Some(range));
        }

        #[test]
        fn an_extent_lies_inside_the_file(range in range(), size in 0..2000u64) {
            match range.on(size) {
                Some(extent) => prop_assert!(extent.start < extent.end && extent.end <= size),
                None => {
                    let beyond = matches!(range, ByteRange::From { first, .. } if first >= size);
                    prop_assert!(beyond || range == ByteRange::Suffix(0) || size == 0);
                }
            }
        }

        #[test]
        fn no_text_makes_the_parser_stumble(text in "(bytes=)?[0-9,\\- a-z]{0,40}") {
            let _ = ByteRange::parse(&text);
        }
    }

    #[test]
    fn several_ranges_and_other_units_are_none() {
        for text in [
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes 0-1",
        ] {
            assert_eq!(ByteRange::parse(text), None, "{text}");
        }
        let longer = ByteRange::Suffix(10_000).on(100);
        assert_eq!(longer, Some(Extent { start: 0, end: 100 }));
    }
}
