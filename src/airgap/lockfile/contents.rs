//! What a lock file says, and the few things that all formats write alike: files, hashes, versions,
//! markers.
//!
//! Must not know any one format.

use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers, VersionSpecifiersParseError};
use serde::de::DeserializeOwned;
use url::Url;

use super::locked_file::{self, LockedFile};
use super::marker::Marker;
use crate::airgap::wanted::{WantedFiles, WantedProject, WantedVersions};
use crate::simple::ProjectName;
use crate::values::digest::Digest;
use crate::values::secret::without_credentials;

/// A lock file, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockContents {
    pub wanted: Vec<WantedProject>,
    /// What it names and no index can give.
    pub left_out: Vec<NonIndexPackage>,
    /// Those of `wanted` that are neither pinned nor hashed: what a client takes may be another
    /// file tomorrow.
    pub unlocked: Vec<Unlocked>,
    /// Those of `wanted` with files that are locked by digests other than sha256 alone.
    pub uncompared: Vec<Uncompared>,
    /// The indexes that it names, each once, in their order.
    pub indexes: Vec<String>,
}

/// Something that comes from no index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonIndexPackage {
    /// As written; a bare URL or path has none.
    pub project: Option<String>,
    pub source: NonIndexSource,
    /// Where it is. The URL may be one of larder's own addresses after all: the caller knows them.
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
pub enum NonIndexSource {
    Repository,
    Path,
    DirectUrl,
}

impl NonIndexSource {
    /// For reports: "left out, because it …".
    pub fn reason(self) -> &'static str {
        match self {
            Self::Repository => "comes from a version control repository, not from an index",
            Self::Path => "is a local path, not a file of an index",
            Self::DirectUrl => "is a URL of its own, not a file of an index",
        }
    }
}

/// A package as a format locks it: to one version, and to files or to hashes of them, as far as it
/// says.
#[derive(Default)]
pub struct LockedPackage<'l> {
    pub name: &'l str,
    pub version: Option<&'l str>,
    /// Where it comes from, if not from an index.
    pub elsewhere: Option<NonIndexSource>,
    /// The URL of its index, or the URL or path where it is instead.
    pub at: Option<&'l str>,
    pub files: Vec<&'l LockedFile>,
    /// Of the files, for a format that does not name them: `sha256:HEX`.
    pub hashes: Vec<String>,
    pub requires_python: Option<&'l str>,
    pub marker: Option<Marker>,
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

/// Why an input cannot be taken: its author is to blame, or this version of larder, which then says
/// so.
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
        Self {
            place: without_credentials(place).into_owned(),
            why: without_credentials(&why.to_string()).into_owned(),
        }
    }
}

/// Reads TOML; the error has the line.
pub fn from_toml<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, LockError> {
    toml::from_str(text).map_err(|why| {
        let before = why.span().and_then(|span| text.get(..span.start));
        let place = match before {
            Some(before) => format!("{name}:{}", before.matches('\n').count() + 1),
            None => name.to_owned(),
        };
        LockError::new(&place, why.message())
    })
}

/// Reads JSON; the error has the line.
pub fn from_json<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, LockError> {
    serde_json::from_str(text).map_err(|why| LockError::new(&format!("{name}:{}", why.line()), why))
}

impl LockContents {
    /// Adds an index unless it is known; what is no http URL is a folder on a disk.
    pub(super) fn index(&mut self, url: Option<&str>) {
        let Some(url) = url else { return };
        if locked_file::is_http(url) && !self.indexes.iter().any(|known| known == url) {
            self.indexes.push(url.to_owned());
        }
    }

    /// Notes a project of which a file has digests by other algorithms than sha256 alone.
    pub(super) fn compare<'h>(
        &mut self,
        project: &ProjectName,
        algorithms: impl Iterator<Item = &'h str>,
        place: &str,
    ) {
        let mut other = None;
        for algorithm in algorithms {
            match algorithm {
                "" => {}
                "sha256" => return,
                _ => other = other.or(Some(algorithm)),
            }
        }
        let Some(algorithm) = other else { return };
        let mut known = self.uncompared.iter();
        if !known.any(|known| known.project == *project) {
            self.uncompared.push(Uncompared {
                project: project.clone(),
                algorithm: algorithm.to_owned(),
                place: place.to_owned(),
            });
        }
    }

    /// Adds a package: to what is wanted, if an index gives it.
    pub(super) fn lock(
        &mut self,
        package: LockedPackage<'_>,
        place: &str,
    ) -> Result<(), LockError> {
        if let Some(source) = package.elsewhere {
            self.left_out.push(package.left_out(source, place));
            return Ok(());
        }
        self.index(package.at);
        let project = project(package.name, place)?;
        let versions = match package.version {
            Some(text) => WantedVersions::Exactly(version(&project, text, place)?),
            None => WantedVersions::Latest(1),
        };
        let mut named = Vec::new();
        for file in package.files {
            self.compare(&project, file.algorithms(), place);
            named.extend(file.named());
        }
        let files = if named.is_empty() {
            let hashes = package.hashes.iter();
            let algorithms = hashes.map(|hash| locked_file::algorithm(hash));
            self.compare(&project, algorithms, place);
            locked_file::hashed(&package.hashes)
        } else {
            WantedFiles::Named(named)
        };
        self.add(WantedProject {
            project,
            versions,
            files,
            requires_python: requires_python(package.requires_python),
            marker: package.marker,
            prereleases: None,
            place: place.to_owned(),
        });
        Ok(())
    }

    /// Adds what one project needs. A format that names the same files twice (once for each extra)
    /// means either.
    pub(super) fn add(&mut self, wanted: WantedProject) {
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

impl LockedPackage<'_> {
    fn left_out(self, source: NonIndexSource, place: &str) -> NonIndexPackage {
        let mut url = None;
        if let (NonIndexSource::DirectUrl, Some(at)) = (source, self.at) {
            url = Url::parse(at).ok();
        }
        let of_files = self.files.iter().find_map(|file| file.sha256());
        NonIndexPackage {
            project: Some(self.name.to_owned()),
            source,
            url,
            at: self.at.map(str::to_owned),
            sha256: of_files.or_else(|| locked_file::first_sha256(&self.hashes)),
            marker: self.marker,
            place: place.to_owned(),
        }
    }
}

/// Whether a path means the project itself, which needs no carrying.
pub fn is_own_tree(path: Option<&str>) -> bool {
    matches!(path, Some("." | "./"))
}

pub fn project(text: &str, place: &str) -> Result<ProjectName, LockError> {
    ProjectName::parse(text).map_err(|why| LockError::new(place, format!("`{text}`: {why}")))
}

fn version(project: &ProjectName, text: &str, place: &str) -> Result<Version, LockError> {
    Version::from_str(text).map_err(|why| {
        let why = format!("{project} {text}: not a version of PEP 440: {why}");
        LockError::new(place, why)
    })
}

pub fn marker(text: Option<&str>, place: &str) -> Result<Option<Marker>, LockError> {
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(None);
    }
    match Marker::parse(text) {
        Ok(marker) => Ok(Some(marker)),
        Err(why) => Err(LockError::new(place, why)),
    }
}

/// A list of markers.
pub fn markers(texts: &[String], place: &str) -> Result<Vec<Option<Marker>>, LockError> {
    texts.iter().map(|text| marker(Some(text), place)).collect()
}

/// `>=3.8`; what is not of PEP 440 (`*`, `^3.8`) says nothing here.
pub fn requires_python(text: Option<&str>) -> Option<VersionSpecifiers> {
    match specifiers(text?) {
        Ok(specifiers) if !specifiers.is_empty() => Some(specifiers),
        _ => None,
    }
}

/// `>=1,<2`; as for packaging, a comma may stand at the end.
pub fn specifiers(text: &str) -> Result<VersionSpecifiers, VersionSpecifiersParseError> {
    let text = text.trim();
    VersionSpecifiers::from_str(text.strip_suffix(',').unwrap_or(text))
}
