//! Lists of sha256 sums as `sha256sum -c` reads them.
//!
//! Must not know what is listed.

use super::item::Item;
use super::{CONTENTS, DESCRIPTION, MANIFEST};
use crate::values::digest::Digest;

/// The list of what a bundle begins with.
pub fn front(description: &[u8], manifest: &[u8], contents: &[u8]) -> Vec<u8> {
    let mut lines = line(Digest::of(description), DESCRIPTION);
    lines += &line(Digest::of(manifest), MANIFEST);
    lines += &line(Digest::of(contents), CONTENTS);
    lines.into_bytes()
}

/// The list of what follows them.
pub fn contents(items: &[Item]) -> Vec<u8> {
    let mut lines = String::new();
    for item in items {
        lines += &line(item.sha256(), &item.name());
    }
    lines.into_bytes()
}

/// Names have no newline and no backslash.
fn line(sum: Digest, name: &str) -> String {
    format!("{sum}  {name}\n")
}

/// The first name whose line differs between two lists; `None` when they are the same.
pub fn first_difference(expected: &[u8], found: &[u8]) -> Option<String> {
    if expected == found {
        return None;
    }
    let mut found = found.split_inclusive(|byte| *byte == b'\n');
    for line in expected.split_inclusive(|byte| *byte == b'\n') {
        if found.next() != Some(line) {
            let name = line.trim_ascii_end().get(66..).unwrap_or_default();
            return Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    Some(String::new())
}
