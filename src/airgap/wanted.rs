//! What an input asks for: projects, at which versions, which files of them. Pure.
//!
//! The common word of all lock formats. Must not know any of them, nor what an index has.

use std::collections::BTreeSet;

use pep440_rs::{Version, VersionSpecifiers};
use percent_encoding::percent_decode_str;
use url::Url;

use super::lockfile::marker::Marker;
use crate::simple::ProjectName;
use crate::values::digest::Digest;

/// One project that an input names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedProject {
    pub project: ProjectName,
    pub versions: WantedVersions,
    pub files: WantedFiles,
    /// Python releases that the input says the project is for, as `>=3.9`; `None`: it does not say.
    pub requires_python: Option<VersionSpecifiers>,
    /// Where it is needed at all; `None`: everywhere.
    pub marker: Option<Marker>,
    /// Whether the input lets pre-releases count; `None`: only where nothing else matches.
    pub prereleases: Option<bool>,
    /// Where it is named, for reports: `uv.lock`, `requirements.txt:12`.
    pub place: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedVersions {
    Exactly(Version),
    Matching(VersionSpecifiers),
    /// The newest so many.
    Latest(usize),
    All,
}

/// Which files of these versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedFiles {
    /// Those that have one of these sha256.
    Hashed(BTreeSet<Digest>),
    Named(Vec<NamedFile>),
    /// The input locks no file.
    Any,
}

/// A file that a lock file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    pub filename: String,
    pub sha256: Option<Digest>,
    pub size: Option<u64>,
    /// Where the lock file says it is; clients that go by it pass every proxy.
    pub url: Option<Url>,
}

impl NamedFile {
    /// What its URL calls it.
    pub fn url_filename(&self) -> Option<String> {
        let last = self.url.as_ref()?.path_segments()?.next_back()?;
        Some(percent_decode_str(last).decode_utf8_lossy().into_owned())
    }
}
