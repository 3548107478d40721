//! A file as lock files write it: by name, by URL, or by both, with its digests. Pure.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use crate::airgap::wanted::{NamedFile, WantedFiles};
use crate::values::digest::Digest;

/// A table of a lock, under all the names that the formats have for its keys.
#[derive(Deserialize)]
pub struct LockedFile {
    #[serde(alias = "file", alias = "filename")]
    name: Option<String>,
    pub url: Option<String>,
    pub path: Option<String>,
    size: Option<u64>,
    /// `sha256:HEX`.
    hash: Option<String>,
    /// In pylock.toml: hexadecimal by algorithm.
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

impl LockedFile {
    pub fn sha256(&self) -> Option<Digest> {
        match &self.hash {
            Some(hash) => sha256(hash),
            None => Digest::parse(self.hashes.get("sha256")?),
        }
    }

    /// The algorithms of its digests.
    pub fn algorithms(&self) -> impl Iterator<Item = &str> {
        let of_hash = self.hash.iter().map(|hash| algorithm(hash));
        of_hash.chain(self.hashes.keys().map(String::as_str))
    }

    /// Its URL, else its path.
    pub fn location(&self) -> Option<&str> {
        self.url.as_deref().or(self.path.as_deref())
    }

    /// `None` if nothing tells its name.
    pub fn named(&self) -> Option<NamedFile> {
        let url = self.url.as_deref();
        let parsed = url.and_then(|url| Url::parse(url).ok());
        let filename = match (&self.name, &parsed) {
            (Some(name), _) => name.clone(),
            (None, Some(url)) => last_segment(url.path()),
            (None, None) => last_segment(self.path.as_deref().or(url)?),
        };
        if filename.is_empty() {
            return None;
        }
        Some(NamedFile {
            filename,
            sha256: self.sha256(),
            size: self.size,
            url: parsed.filter(|url| is_http(url.as_str())),
        })
    }
}

fn last_segment(path: &str) -> String {
    let last = path.rsplit(['/', '\\']).next().unwrap_or_default();
    percent_decode_str(last).decode_utf8_lossy().into_owned()
}

/// `sha256:HEX`; other digests are of no use to larder.
pub fn sha256(text: &str) -> Option<Digest> {
    Digest::parse(text.trim().strip_prefix("sha256:")?)
}

/// The files that have one of these hashes, as far as larder knows their algorithm; any file will do
/// if it knows none.
pub fn hashed(hashes: &[String]) -> WantedFiles {
    let digests: BTreeSet<Digest> = hashes.iter().filter_map(|hash| sha256(hash)).collect();
    if digests.is_empty() {
        WantedFiles::Any
    } else {
        WantedFiles::Hashed(digests)
    }
}

pub fn first_sha256(hashes: &[String]) -> Option<Digest> {
    hashes.iter().find_map(|hash| sha256(hash))
}

/// The algorithm of `sha512:HEX`; empty if it has none.
pub fn algorithm(hash: &str) -> &str {
    let (algorithm, _) = hash.trim().split_once(':').unwrap_or_default();
    algorithm
}

pub fn is_http(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
