//! A file that the configuration names and that holds a secret, or what belongs to one: tokens,
//! passwords, users, keys and certificates.
//!
//! Owns how such a file is read: in one bounded piece, wiped from memory afterwards, without the
//! byte order mark that some editors put before UTF-8 and that would become a part of the token,
//! the user or the PEM label behind it. Must not know what is in it.

#![expect(
    clippy::disallowed_methods,
    reason = "a setting that lives in a file of its own"
)]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

/// A chain of certificates has a few kilobytes, a list of users some tens.
const BYTES_MAX: u64 = 1 << 20;

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Users outside the file's group may read it.
const OTHERS_READ: u32 = 0o004;

/// Whether every user of this machine can read a file, as far as its own mode tells.
pub fn is_open(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(about) => about.is_file() && about.mode() & OTHERS_READ != 0,
        Err(_) => false,
    }
}

/// What was in the file, and who else may read it.
pub struct SecretFile {
    pub text: Zeroizing<Vec<u8>>,
    pub mode: u32,
}

impl SecretFile {
    /// Whether every user of this machine can read it.
    pub fn is_open(&self) -> bool {
        self.mode & OTHERS_READ != 0
    }

    /// # Errors
    /// When the file cannot be read, is larger than 1 MiB, or is UTF-16.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mode = file.metadata()?.mode();
        let mut text = Zeroizing::new(Vec::new());
        let bytes = file.take(BYTES_MAX + 1).read_to_end(&mut text)?;
        if bytes as u64 > BYTES_MAX {
            return Err(io::Error::other(
                "is larger than 1 MiB, and no such file is",
            ));
        }
        Ok(Self {
            text: without_mark(text)?,
            mode,
        })
    }
}

fn without_mark(text: Zeroizing<Vec<u8>>) -> io::Result<Zeroizing<Vec<u8>>> {
    if UTF_16_MARKS.iter().any(|mark| text.starts_with(mark)) {
        return Err(io::Error::other("is UTF-16: save it as UTF-8"));
    }
    match text.strip_prefix(UTF_8_MARK) {
        Some(rest) => Ok(Zeroizing::new(rest.to_vec())),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("a writable file");
        let read = SecretFile::read(file.path()).map_err(|why| why.to_string())?;
        assert_eq!(read.mode & 0o077, 0);
        Ok(read.text.to_vec())
    }

    #[test]
    fn a_mark_is_no_part_of_the_text() {
        assert_eq!(read(b"\xef\xbb\xbfglpat-x\n"), Ok(b"glpat-x\n".to_vec()));
        assert_eq!(
            read(b"glpat-x\xef\xbb\xbf"),
            Ok(b"glpat-x\xef\xbb\xbf".to_vec())
        );
        assert_eq!(read(b""), Ok(Vec::new()));
        for mark in UTF_16_MARKS {
            assert!(read(&[mark, b"g\0l\0"].concat()).is_err_and(|why| why.contains("UTF-16")));
        }
    }

    #[test]
    fn a_file_of_any_size_is_read_or_refused() {
        let most = vec![b'x'; 1 << 20];
        assert_eq!(read(&most).map(|text| text.len()), Ok(1 << 20));
        assert!(read(&[&most[..], b"x"].concat()).is_err_and(|why| why.contains("1 MiB")));
    }
}
