//! A file's address: whose it is, which sha256 it is promised under, and its name.
//!
//! Owns the alphabet of file names and the spelling of the digest. Must not know whether the file exists.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Scope;
use crate::digest::Digest;

/// Longest file name accepted, in bytes after decoding; what file systems and GitLab's column hold.
const FILENAME_BYTES_MAX: usize = 255;

/// What stays bare in a path segment: RFC 3986 unreserved, and `+ !` as GitLab and the clients write them.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'+').remove(b'!');

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

/// One file in one scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileRef {
    pub scope: Scope,
    pub digest: Digest,
    pub filename: Filename,
    /// The digest as it was written: GitLab compares it as text, so it goes upstream in the same case.
    written: Arc<str>,
}

impl FileRef {
    pub(super) fn parse(scope: Scope, digest: &str, filename: &str) -> Option<Self> {
        Some(Self {
            scope,
            digest: Digest::parse(digest)?,
            filename: Filename::parse(filename)?,
            written: digest.into(),
        })
    }

    pub(super) fn path(&self) -> String {
        let filename = utf8_percent_encode(self.filename.as_str(), SEGMENT);
        format!("{}/files/{}/{filename}", self.scope.path(), self.written)
    }
}
