//! The name of one request, by which the log lines of every service that had to do with it are
//! found.
//!
//! Owns which names of a client's are taken over: short, and of letters that can do no harm in a
//! log, a header or a JSON text. Must not know who carries it where.

use std::fmt;
use std::sync::Arc;

/// Longest name that is taken over from a client, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request's id: the client's own, or 128 random bits in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Spelling);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Spelling {
    Own(u128),
    Given(Arc<str>),
}

impl RequestId {
    pub fn random() -> Self {
        Self(Spelling::Own(rand::random()))
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

    /// Hands out the spelling without keeping a copy of it.
    pub fn with_bytes<T>(&self, take: impl FnOnce(&[u8]) -> T) -> T {
        match &self.0 {
            Spelling::Given(text) => take(text.as_bytes()),
            Spelling::Own(bits) => take(&hexadecimal(*bits)),
        }
    }
}

fn hexadecimal(bits: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    for (digit, nibble) in digits.iter_mut().zip((0..32).rev()) {
        let value = u8::try_from((bits >> (4 * nibble)) & 0xf).unwrap_or_default();
        *digit = if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        };
    }
    digits
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Spelling::Given(text) => f.write_str(text),
            Spelling::Own(bits) => write!(f, "{bits:032x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_own_id_is_well_formed_and_spelled_in_one_way(bits: u128) {
            let id = RequestId(Spelling::Own(bits));
            let bytes = id.with_bytes(<[u8]>::to_vec);
            prop_assert_eq!(&bytes, &id.to_string().into_bytes());
            prop_assert_eq!(RequestId::parse(&bytes).map(|id| id.to_string()), Some(id.to_string()));
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
