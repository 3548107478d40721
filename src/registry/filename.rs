//! A distribution's file name.
//!
//! Owns the alphabet of file names. Must not know whose file it is.

use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::simple;

/// Longest file name accepted, in bytes after decoding; what file systems and GitLab's column hold.
const FILENAME_BYTES_MAX: usize = 255;

/// A distribution's file name, decoded once and known to be a single harmless path segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filename(Arc<str>);

impl Filename {
    /// Reads a raw path segment. `+` and `%2B` are the same; escapes are undone exactly once.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(segment: &str) -> Result<Self, &'static str> {
        if is_usual(segment) {
            return Ok(Self(segment.into()));
        }
        let Ok(decoded) = percent_decode_str(segment).decode_utf8() else {
            return Err("a file name that is no UTF-8");
        };
        if decoded.len() > FILENAME_BYTES_MAX {
            Err("a file name of more than 255 bytes, which no file system holds")
        } else if decoded.starts_with('.') || !decoded.contains('.') {
            Err("an address that does not end in the name of a file")
        } else if decoded.contains(['%', ';', '\\']) {
            Err("a `%`, `;` or `\\` in a file name, which servers read in several ways")
        } else if decoded.contains('/') || decoded.contains(is_unseen) {
            Err("a slash or a character that cannot be seen in a file name")
        } else {
            Ok(Self(decoded.into()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the file is named as a wheel.
    pub fn is_wheel(&self) -> bool {
        simple::is_wheel(&self.0)
    }
}

/// Whether it is a name that no rule has anything to say about, and that is written as it is: most
/// are.
fn is_usual(segment: &str) -> bool {
    let mut has_dot = false;
    for byte in segment.bytes() {
        has_dot |= byte == b'.';
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_' | b'.' | b'+') {
            return false;
        }
    }
    has_dot && !segment.starts_with('.') && segment.len() <= FILENAME_BYTES_MAX
}

/// Control characters, and those of Unicode that have no shape of their own or turn what follows
/// them: two names that look alike would be two files.
fn is_unseen(c: char) -> bool {
    match c {
        '\u{ad}' | '\u{61c}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => true,
        _ => c.is_control(),
    }
}

impl fmt::Display for Filename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_file_may_be_called() {
        for (segment, name) in [
            ("torch-1.0%2Bcu118.whl", "torch-1.0+cu118.whl"),
            ("demo-1.0-it's%5Bx%5D.zip", "demo-1.0-it's[x].zip"),
            ("demo-1.0%23&$*.zip", "demo-1.0#&$*.zip"),
            ("demo-1.0-caf%C3%A9.zip", "demo-1.0-café.zip"),
            ("demo-1.0-cafe%CC%81.zip", "demo-1.0-cafe\u{301}.zip"),
        ] {
            assert_eq!(
                Filename::parse(segment).as_ref().map(Filename::as_str),
                Ok(name),
                "{segment}"
            );
        }
        assert!(Filename::parse(&format!("{}.zip", "a".repeat(251))).is_ok());
    }

    #[test]
    fn what_is_none_is_said() {
        let long = format!("{}.zip", "a".repeat(252));
        for (segment, why) in [
            (long.as_str(), "255 bytes"),
            ("", "the name of a file"),
            ("download", "the name of a file"),
            (".hidden", "the name of a file"),
            ("a%25.zip", "several ways"),
            ("a;b.zip", "several ways"),
            ("a%5Cb.zip", "several ways"),
            ("a%2Fb.zip", "a slash"),
            ("a%0Ab.zip", "cannot be seen"),
            ("a%E2%80%AEb.zip", "cannot be seen"),
            ("a%FF.zip", "no UTF-8"),
        ] {
            assert!(
                Filename::parse(segment).is_err_and(|said| said.contains(why)),
                "{segment}"
            );
        }
    }
}
