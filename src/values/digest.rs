//! The sha256 of a file body: the promise larder makes to its clients.
//!
//! Owns the type, its spelling (64 hex digits) and the hasher. Must not know where bytes come from.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::values::hexadecimal;

/// A sha256, compared by value whatever the case it was written in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Reads 64 hex digits of either case; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_chunks().0) {
            *byte = hexadecimal::read(*pair)?;
        }
        Some(Self(bytes))
    }

    /// The digest of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At once: it is written for every answer, and for every line of the index that is read.
        let mut hex = [0; 64];
        hexadecimal::spell(&self.0, &mut hex);
        f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("a sha256 is 64 hex digits"))
    }
}

/// A running sha256.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Whether this machine's sha256 is right: three known vectors of FIPS 180-4, one of them long.
///
/// A broken vector back-end has shipped before (RUSTSEC-2021-0100); with it every promise is void,
/// so the daemon asks before it starts.
pub fn self_test() -> bool {
    // Not in one piece: a million bytes would be a part of the program.
    let mut long = Hasher::new();
    for _ in 0..100 {
        long.update(&[b'a'; 10_000]);
    }
    let vectors = [
        (
            Digest::of(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            Digest::of(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            long.finish(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
    ];
    for (digest, expected) in vectors {
        if digest.to_string() != expected {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_vectors_agree() {
        assert!(self_test());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bytes: [u8; 32]) {
            let digest = Digest(bytes);
            prop_assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
            prop_assert_eq!(Digest::parse(&digest.to_string().to_uppercase()), Some(digest));
        }

        #[test]
        fn nothing_but_64_hex_digits_is_a_digest(text in "\\PC{0,80}") {
            let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            prop_assert_eq!(Digest::parse(&text).is_some(), hex);
        }
    }
}
