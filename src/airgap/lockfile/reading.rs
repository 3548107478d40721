//! What reading a lock file gives, and the few things that all formats write alike: hashes, URLs, versions, markers.
//!
//! Must not know any one format.

use std::collections::BTreeMap;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers, VersionSpecifiersParseError};
use percent_encoding::percent_decode_str;
use url::Url;

use super::marker::Marker;
use crate::airgap::wanted::{Files, NamedFile, Versions, Wanted};
use crate::simple::ProjectName;
use crate::values::digest::Digest;
use crate::values::secret::without_credentials;

/// A lock file, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub wanted: Vec<Wanted>,
    /// What it names and no index can give.
    pub left_out: Vec<LeftOut>,
    /// Those of `wanted` that are neither pinned nor hashed: what a client takes may be another file tomorrow.
    pub unlocked: Vec<Unlocked>,
    /// Those of `wanted` with files that are locked by digests other than sha256 alone.
    pub uncompared: Vec<Uncompared>,
    /// The indexes that it names, each once, in their order.
    pub indexes: Vec<String>,
}

/// Something that comes from no index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// As written; a bare URL or path has none.
    pub project: Option<String>,
    pub why: Origin,
    /// Where it is. The URL may be one of our own addresses after all: the caller knows them.
    pub url: Option<Url>,
    /// The URL or path as written; it may hold a credential.
    pub at: Option<String>,
    pub sha256: Option<Digest>,
    /// Where it is needed at all; `None`: everywhere.
    pub marker: Option<Marker>,
    pub place: String,
}

/// Where something comes from, if not from an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Repository,
    Path,
    DirectUrl,
}

impl Origin {
    /// For reports: "left out, because it …".
    pub fn reason(self) -> &'static str {
        match self {
            Self::Repository => "comes from a version control repository, not from an index",
            Self::Path => "is a local path, not a file of an index",
            Self::DirectUrl => "is a URL of its own, not a file of an index",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlocked {
    pub project: ProjectName,
    pub place: String,
}

/// A project whose files larder cannot tell by the digests that its input gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncompared {
    pub project: ProjectName,
    /// `sha512`.
    pub algorithm: String,
    pub place: String,
}

/// Why an input cannot be taken. Whoever wrote it is to blame, or this version of larder, which then says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct LockError {
    /// The file, and the line where it is known: `requirements.txt:12`.
    pub place: String,
    pub why: String,
}

impl LockError {
    pub(super) fn new(place: &str, why: impl std::fmt::Display) -> Self {
        // Both may quote a URL of the input's.
        let shown = |text: &str| without_credentials(text).into_owned();
        Self {
            place: shown(place),
            why: shown(&why.to_string()),
        }
    }

    /// TOML that is none, or not of the shape that the format has.
    pub(super) fn of_toml(name: &str, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let place = match before {
            Some(before) => format!("{name}:{}", before.matches('\n').count() + 1),
            None => name.to_owned(),
        };
        Self::new(&place, error.message())
    }
}

impl Reading {
    /// Adds an index unless it is known; what is no http URL is a folder of somebody's.
    pub(super) fn index(&mut self, url: Option<&str>) {
        let Some(url) = url.filter(|url| is_http(url)) else {
            return;
        };
        if !self.indexes.iter().any(|known| known == url) {
            self.indexes.push(url.to_owned());
        }
    }

    /// Notes a project of which a file has digests, as `sha512:HEX`, but no sha256.
    pub(super) fn compare<'h>(
        &mut self,
        project: &ProjectName,
        hashes: impl Iterator<Item = &'h str> + Clone,
        place: &str,
    ) {
        let algorithm = |hash: &'h str| Some(hash.trim().split_once(':')?.0);
        let mut algorithms = hashes.filter_map(algorithm).filter(|name| !name.is_empty());
        if algorithms.clone().any(|name| name == "sha256") {
            return;
        }
        let Some(algorithm) = algorithms.next().map(str::to_owned) else {
            return;
        };
        if !self
            .uncompared
            .iter()
            .any(|known| known.project == *project)
        {
            let (project, place) = (project.clone(), place.to_owned());
            self.uncompared.push(Uncompared {
                project,
                algorithm,
                place,
            });
        }
    }

    /// Adds what one project needs. A format that names the same files twice (once for each extra) means either.
    pub(super) fn add(&mut self, wanted: Wanted) {
        let known = self.wanted.iter_mut().rev().find(|known| {
            known.project == wanted.project
                && known.versions == wanted.versions
                && known.files == wanted.files
                && known.requires_python == wanted.requires_python
                && known.prereleases == wanted.prereleases
        });
        match known {
            Some(known) => known.marker = Marker::any([known.marker.take(), wanted.marker]),
            None => self.wanted.push(wanted),
        }
    }
}

/// A project locked at a version, and to files if the format has them; nothing said of where it is needed.
pub(super) fn locked(
    name: &str,
    at: Option<&str>,
    files: Vec<NamedFile>,
    place: &str,
) -> Result<Wanted, LockError> {
    let project = project(name, place)?;
    let versions = match at {
        Some(text) => Versions::Exactly(version(&project, text, place)?),
        None => Versions::Latest(1),
    };
    Ok(Wanted {
        project,
        versions,
        files: if files.is_empty() {
            Files::Any
        } else {
            Files::Named(files)
        },
        requires_python: None,
        marker: None,
        prereleases: None,
        place: place.to_owned(),
    })
}

pub(super) fn project(text: &str, place: &str) -> Result<ProjectName, LockError> {
    ProjectName::parse(text).map_err(|why| LockError::new(place, format!("`{text}`: {why}")))
}

pub(super) fn version(
    project: &ProjectName,
    text: &str,
    place: &str,
) -> Result<Version, LockError> {
    Version::from_str(text).map_err(|why| {
        LockError::new(
            place,
            format!("{project} {text}: not a version of PEP 440: {why}"),
        )
    })
}

pub(super) fn marker(text: Option<&str>, place: &str) -> Result<Option<Marker>, LockError> {
    let text = text.filter(|text| !text.trim().is_empty());
    text.map(Marker::parse)
        .transpose()
        .map_err(|why| LockError::new(place, why))
}

/// `>=3.8`; what is not of PEP 440 (`*`, `^3.8`) says nothing here.
pub(super) fn requires_python(text: Option<&str>) -> Option<VersionSpecifiers> {
    specifiers(text?)
        .ok()
        .filter(|specifiers| !specifiers.is_empty())
}

/// `>=1,<2`; as for packaging, a comma may stand at the end.
pub(super) fn specifiers(text: &str) -> Result<VersionSpecifiers, VersionSpecifiersParseError> {
    let text = text.trim();
    VersionSpecifiers::from_str(text.strip_suffix(',').unwrap_or(text))
}

/// `sha256:HEX`; other digests are of no use to larder.
pub(super) fn sha256(text: &str) -> Option<Digest> {
    Digest::parse(text.trim().strip_prefix("sha256:")?)
}

/// The sha256 of a table `hashes`.
pub(super) fn sha256_of(hashes: &BTreeMap<String, String>) -> Option<Digest> {
    Digest::parse(hashes.get("sha256")?)
}

pub(super) fn is_http(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// A file as lock files name it: by name, by URL, or by both.
pub(super) fn named_file(
    name: Option<&str>,
    url: Option<&str>,
    path: Option<&str>,
) -> Option<NamedFile> {
    let parsed = url.and_then(|url| Url::parse(url).ok());
    let filename = match (name, &parsed) {
        (Some(name), _) => name.to_owned(),
        (None, Some(url)) => last_segment(url.path()),
        (None, None) => last_segment(path.or(url)?),
    };
    let url = parsed.filter(|url| matches!(url.scheme(), "http" | "https"));
    Some(NamedFile {
        filename,
        sha256: None,
        size: None,
        url,
    })
    .filter(|file| !file.filename.is_empty())
}

fn last_segment(path: &str) -> String {
    let last = path.rsplit(['/', '\\']).next().unwrap_or_default();
    percent_decode_str(last).decode_utf8_lossy().into_owned()
}
