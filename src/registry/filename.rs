//! A distribution's file name.
//!
//! Owns the alphabet of file names. Must not know whose file it is.

use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

/// Longest file name accepted, in bytes after decoding; what file systems and GitLab's column hold.
const FILENAME_BYTES_MAX: usize = 255;

/// A distribution's file name, decoded once and known to be a single harmless path segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filename(Arc<str>);

impl Filename {
    /// Reads a raw path segment. `+` and `%2B` are the same; escapes are undone exactly once.
    pub fn parse(segment: &str) -> Option<Self> {
        let decoded = percent_decode_str(segment).decode_utf8().ok()?;
        let known = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'-' | b'_' | b'.' | b'+' | b'!' | b'~' | b'@' | b' ' | b',' | b'=' | b'(' | b')'
                )
        };
        let sound = (1..=FILENAME_BYTES_MAX).contains(&decoded.len())
            && decoded.bytes().all(known)
            && !decoded.starts_with('.')
            && decoded.contains('.');
        sound.then(|| Self(decoded.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Filename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
