//! The files of cacache's index: what their lines say, and the same lines without those that count
//! no more.
//!
//! cacache lists its index too, but stumbles over a line that it did not write, and never shortens
//! a file. A line is `\n<sha256 of the JSON>\t<JSON>`; the last line of a key counts, one without
//! `integrity` is its end. Pinned by a test against cacache. Pure: must not touch the disk.

use std::collections::HashMap;

use serde::Deserialize;

use super::index;
use crate::values::digest::Digest;

/// What one line says.
#[derive(Clone, Debug, Deserialize)]
pub struct RawLine {
    pub key: String,
    pub integrity: Option<String>,
    /// Milliseconds since 1970.
    pub time: u64,
    #[serde(default)]
    pub metadata: serde_json::Value,
}

/// One file of the index.
#[derive(Debug, Default)]
pub struct IndexBucket {
    /// Those that count, in the order of the file.
    pub live: Vec<RawLine>,
    /// Replaced by a later line.
    pub superseded: usize,
    /// Torn or damaged.
    pub unreadable: usize,
    /// The file as it could be: the live lines alone.
    pub compact: Vec<u8>,
}

impl IndexBucket {
    pub fn read(bytes: &[u8]) -> Self {
        let mut bucket = Self::default();
        let mut lines: Vec<(RawLine, &[u8])> = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            match read_line(line) {
                Some(read) => lines.push((read, line)),
                None if line.is_empty() => {}
                None => bucket.unreadable += 1,
            }
        }
        let last = last_of_each_key(&lines);
        for ((line, text), is_last) in lines.into_iter().zip(last) {
            if line.integrity.is_some() && is_last {
                bucket.compact.push(b'\n');
                bucket.compact.extend_from_slice(text);
                bucket.live.push(line);
            } else {
                bucket.superseded += 1;
            }
        }
        bucket
    }
}

/// Which lines no later one replaces.
fn last_of_each_key(lines: &[(RawLine, &[u8])]) -> Vec<bool> {
    let mut last = HashMap::new();
    for (at, (line, _)) in lines.iter().enumerate() {
        last.insert(line.key.as_str(), at);
    }
    let mut is_last = vec![false; lines.len()];
    for at in last.into_values() {
        is_last[at] = true;
    }
    is_last
}

fn read_line(line: &[u8]) -> Option<RawLine> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let sum = line.get(..tab)?;
    let json = line.get(tab + 1..)?;
    // As text: in capitals it is no line to cacache.
    if sum != Digest::of(json).to_string().as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}

impl RawLine {
    /// The sha256 that it names, if it names one.
    pub fn digest(&self) -> Option<Digest> {
        index::digest_of(&self.integrity.as_deref()?.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A folder's index with these keys written or deleted in turn, as the bytes of its only
    /// possible files.
    #[expect(clippy::disallowed_methods, reason = "looks at what cacache wrote")]
    fn written(changes: &[(u8, bool)]) -> (tempfile::TempDir, Vec<Vec<u8>>) {
        let dir = tempfile::tempdir().expect("a folder");
        for (number, (key, live)) in changes.iter().enumerate() {
            let key = format!("key {key}");
            if *live {
                let options = cacache::WriteOpts::new()
                    .integrity(cacache::Integrity::from(number.to_string().as_bytes()))
                    .metadata(serde_json::json!({ "number": number }));
                cacache::index::insert(dir.path(), &key, options).expect("written");
            } else {
                cacache::index::delete(dir.path(), &key).expect("written");
            }
        }
        let mut files = Vec::new();
        let mut folders = vec![dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    files.push(std::fs::read(entry.path()).expect("a file"));
                }
            }
        }
        (dir, files)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_counts_is_what_cacache_finds_and_survives_compaction(
            changes in prop::collection::vec((0..4u8, prop::bool::weighted(0.8)), 0..20),
        ) {
            let (dir, files) = written(&changes);
            let mut live = 0;
            for file in &files {
                let bucket = IndexBucket::read(file);
                for line in &bucket.live {
                    let found = cacache::index::find(dir.path(), &line.key).expect("readable").expect("there");
                    prop_assert_eq!(&found.metadata, &line.metadata);
                    prop_assert_eq!(Digest::parse(&found.integrity.to_hex().1), line.digest());
                }
                live += bucket.live.len();
                let again = IndexBucket::read(&bucket.compact);
                prop_assert_eq!((again.superseded, again.unreadable), (0, 0));
                prop_assert_eq!(again.live.len(), bucket.live.len());
                prop_assert_eq!(bucket.superseded > 0, bucket.compact.len() < file.len());
            }
            let found = (0..4).filter(|key| matches!(cacache::index::find(dir.path(), &format!("key {key}")), Ok(Some(_))));
            prop_assert_eq!(live, found.count());
        }

        #[test]
        fn a_flipped_byte_costs_no_other_line(at in 0..1000usize, bit in 0..8u8) {
            let (_dir, files) = written(&[(1, true), (1, true)]);
            let mut file = files[0].clone();
            let at = 1 + at % (file.len() - 1);
            file[at] ^= 1 << bit;
            let bucket = IndexBucket::read(&file);
            prop_assert!(bucket.live.len() <= 1);
            prop_assert!(bucket.unreadable >= 1);
        }
    }

    #[test]
    fn no_integrity_makes_it_stumble() {
        for integrity in [
            "",
            "sha256",
            "sha256-",
            "sha1-deadbeef",
            "sha256-AA==",
            "x-y z",
        ] {
            let line = RawLine {
                key: String::new(),
                integrity: Some(integrity.to_owned()),
                time: 0,
                metadata: serde_json::Value::Null,
            };
            assert_eq!(line.digest(), None, "{integrity}");
        }
    }
}
