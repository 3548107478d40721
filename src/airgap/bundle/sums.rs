//! Lists of sha256 sums as `sha256sum -c` reads them.
//!
//! Must not know what is listed.

use std::fmt::Display;

use super::item::Item;
use super::{CONTENTS, DESCRIPTION, MANIFEST};
use crate::values::digest::Digest;

/// The list of what a bundle begins with.
pub fn front(description: &[u8], manifest: &[u8], contents: &[u8]) -> Vec<u8> {
    let of = |bytes: &[u8], name| (Digest::of(bytes), name);
    write([
        of(description, DESCRIPTION),
        of(manifest, MANIFEST),
        of(contents, CONTENTS),
    ])
}

/// The list of what follows them.
pub fn contents(items: &[Item]) -> Vec<u8> {
    write(items.iter().map(|item| (item.sha256(), item.name())))
}

/// A line for each `(sum, name)`, in order. Names have no newline and no backslash.
fn write(sums: impl IntoIterator<Item = (Digest, impl Display)>) -> Vec<u8> {
    let mut lines = String::new();
    for (sum, name) in sums {
        lines += &format!("{sum}  {name}\n");
    }
    lines.into_bytes()
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
