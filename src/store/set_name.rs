//! The name of a set of files.
//!
//! Owns its alphabet, harmless as a file's name. Must not know what a set is for.

use std::fmt;
use std::sync::Arc;

/// Most files of a set.
pub const FILES_MAX: usize = 1_000_000;

/// Longest name of a set, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The name of a set: `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetName(Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a set: use up to {NAME_BYTES_MAX} of a-z, 0-9, '.', '_' and '-', a letter or digit first"
)]
pub struct SetNameError(String);

impl SetName {
    /// # Errors
    /// When the text is no name.
    pub fn parse(text: &str) -> Result<Self, SetNameError> {
        let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let sound = text.len() <= NAME_BYTES_MAX
            && text.bytes().next().is_some_and(|first| edge(&first))
            && text
                .bytes()
                .all(|b| edge(&b) || matches!(b, b'.' | b'_' | b'-'));
        if sound {
            Ok(Self(text.into()))
        } else {
            Err(SetNameError(text.chars().take(80).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "0", "web-2026.01_x", &"a".repeat(64)] {
            assert!(SetName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "A", "a/b", "a b", "é", &"a".repeat(65)] {
            assert!(SetName::parse(bad).is_err(), "{bad}");
        }
    }
}
