//! The name of one request, by which the log lines of every service that had to do with it are
//! found.
//!
//! Owns which names of a client's are taken over: short, and of letters that can do no harm in a
//! log, a header or a JSON text. Must not know who carries it where.

use std::fmt;
use std::sync::Arc;

use crate::values::hexadecimal;

/// Longest name that is taken over from a client, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request's id: the client's own, or 128 random bits in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Spelling);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Spelling {
    Own(Digits),
    Given(Arc<str>),
}

/// In hexadecimal: each is spelled several times. At an address from which they are found to be a
/// text many at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(align(8))]
struct Digits([u8; 32]);

impl RequestId {
    pub fn random() -> Self {
        Self(Spelling::Own(Digits::of(rand::random())))
    }

    /// An id that a client or upstream gave, if it is well-formed: 1 to [`REQUEST_ID_BYTES_MAX`]
    /// bytes, each a letter, a digit or one of `-_.:+/=@~`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let known = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:+/=@~".contains(b);
        if !(1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) || !text.iter().all(known) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        Some(Self(Spelling::Given(text.into())))
    }

    /// Whether larder gave it, and no client or upstream.
    pub fn is_own(&self) -> bool {
        matches!(self.0, Spelling::Own(_))
    }

    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Spelling::Given(text) => text.as_bytes(),
            Spelling::Own(digits) => &digits.0,
        }
    }

    /// Hands out the spelling without keeping a copy of it.
    pub fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Spelling::Given(text) => take(text),
            // ASCII always is a text.
            Spelling::Own(digits) => take(std::str::from_utf8(&digits.0).unwrap_or_default()),
        }
    }
}

impl Digits {
    fn of(bits: u128) -> Self {
        let mut digits = [0; 32];
        hexadecimal::spell(&bits.to_be_bytes(), &mut digits);
        Self(digits)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_own_id_is_well_formed_and_spelled_in_one_way(bits: u128) {
            let text = RequestId(Spelling::Own(Digits::of(bits))).to_string();
            prop_assert_eq!(&text, &format!("{bits:032x}"));
            prop_assert_eq!(RequestId::parse(text.as_bytes()).map(|id| id.to_string()), Some(text));
        }

        #[test]
        fn what_is_taken_over_is_short_and_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(id) = RequestId::parse(&bytes) {
                prop_assert!(bytes.len() <= REQUEST_ID_BYTES_MAX);
                prop_assert!(bytes.iter().all(|b| b.is_ascii_graphic() && !b"\"\\<>&%;,'`".contains(b)));
                prop_assert_eq!(id.to_string().into_bytes(), bytes);
            }
        }
    }

    #[test]
    fn others_are_refused() {
        let long = "a".repeat(REQUEST_ID_BYTES_MAX + 1);
        for other in ["", " ", "a b", "a\nb", "a\"b", "a=b;c", "\u{e9}", &long] {
            assert_eq!(RequestId::parse(other.as_bytes()), None, "{other:?}");
        }
        assert!(RequestId::parse(&long.as_bytes()[1..]).is_some());
    }
}
