//! Lists of sha256 sums as `sha256sum -c` reads them.
//!
//! Must not know what is listed.

use super::{CONTENTS, DESCRIPTION, MANIFEST};
use crate::values::digest::Digest;

/// The list of what a bundle begins with.
pub(super) fn front(description: &[u8], manifest: &[u8], contents: &[u8]) -> Vec<u8> {
    let of = |bytes: &[u8], name| (Digest::of(bytes), name);
    write([
        of(description, DESCRIPTION),
        of(manifest, MANIFEST),
        of(contents, CONTENTS),
    ])
}

/// A line for each `(sum, name)`, in order. Names have no newline and no backslash.
pub(super) fn write<'a>(sums: impl IntoIterator<Item = (Digest, &'a str)>) -> Vec<u8> {
    let lines = sums
        .into_iter()
        .map(|(sum, name)| format!("{sum}  {name}\n"));
    lines.collect::<String>().into_bytes()
}

/// The first name whose line differs between two lists; `None` when they are the same.
pub(super) fn first_difference(expected: &[u8], found: &[u8]) -> Option<String> {
    if expected == found {
        return None;
    }
    let name =
        |line: &[u8]| String::from_utf8_lossy(line.get(66..).unwrap_or_default()).into_owned();
    let mut found = found.split_inclusive(|byte| *byte == b'\n');
    let differing = expected
        .split_inclusive(|byte| *byte == b'\n')
        .find(|line| found.next() != Some(*line));
    Some(
        differing
            .map(|line| name(line.trim_ascii_end()))
            .unwrap_or_default(),
    )
}
