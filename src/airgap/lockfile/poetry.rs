//! `poetry.lock`, 0.12 to 2.x: file names and hashes, no URLs; before 1.0 hashes alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::contents::{
    self, LockContents, LockError, LockedPackage, NonIndexPackage, NonIndexSource,
};
use super::locked_file::LockedFile;
use super::marker::Marker;
use crate::values::digest::Digest;

#[derive(Debug, Deserialize)]
struct PoetryLock {
    #[serde(default)]
    package: Vec<PoetryPackage>,
    metadata: PoetryMetadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PoetryMetadata {
    /// Not in 1.0 and before.
    lock_version: Option<String>,
    /// By name, in 1.x.
    #[serde(default)]
    files: BTreeMap<String, Vec<LockedFile>>,
    /// By name, before 1.0: sha256 in hex.
    #[serde(default)]
    hashes: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PoetryPackage {
    name: String,
    version: String,
    python_versions: Option<String>,
    #[serde(default)]
    files: Vec<LockedFile>,
    /// The groups that need it; in 2.x.
    #[serde(default)]
    groups: BTreeSet<String>,
    /// `marker` in 1.0.
    #[serde(alias = "marker")]
    markers: Option<PoetryMarkers>,
    source: Option<PoetrySource>,
}

/// One for all groups, or one for each that has any: a group that is left out needs the package
/// everywhere.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PoetryMarkers {
    Of(String),
    OfGroups(BTreeMap<String, String>),
}

#[derive(Debug, Deserialize)]
struct PoetrySource {
    r#type: Option<String>,
    url: Option<String>,
}

/// Reads it; `name` is what the file is called in reports.
pub(super) fn read(name: &str, text: &str) -> Result<LockContents, LockError> {
    let lock: PoetryLock = contents::from_toml(name, text)?;
    let version = lock.metadata.lock_version.as_deref().unwrap_or("1.0");
    if !version.starts_with("1.") && !version.starts_with("2.") {
        let why = format!("poetry.lock has version {version}, and this larder reads 1.x and 2.x");
        return Err(LockError::new(name, why));
    }
    let mut found = LockContents::default();
    for package in &lock.package {
        let marker = package.marker(name)?;
        let url = package
            .source
            .as_ref()
            .and_then(|source| source.url.as_deref());
        if let Some(source) = package.elsewhere() {
            let sha256 = package.files.iter().find_map(LockedFile::sha256);
            let left = NonIndexPackage::new(&package.name, source, url, sha256, marker, name);
            found.left_out.push(left);
            continue;
        }
        found.index(url);
        let files = match lock.metadata.files.get(&package.name) {
            Some(files) if package.files.is_empty() => files,
            _ => &package.files,
        };
        if files.iter().any(|file| file.named().is_none()) {
            let why = format!("a file of `{}` has no name", package.name);
            return Err(LockError::new(name, why));
        }
        let digests = lock
            .metadata
            .hashes
            .get(&package.name)
            .into_iter()
            .flatten();
        let locked = LockedPackage {
            name: &package.name,
            version: Some(&package.version),
            files: files.iter().collect(),
            digests: digests.filter_map(|hex| Digest::parse(hex)).collect(),
            requires_python: package.python_versions.as_deref(),
            marker,
        };
        found.lock(locked, name)?;
    }
    Ok(found)
}

impl PoetryPackage {
    fn elsewhere(&self) -> Option<NonIndexSource> {
        match self.source.as_ref()?.r#type.as_deref()? {
            "git" | "hg" | "svn" | "bzr" => Some(NonIndexSource::Repository),
            "directory" | "file" => Some(NonIndexSource::Path),
            "url" => Some(NonIndexSource::DirectUrl),
            _ => None,
        }
    }

    fn marker(&self, place: &str) -> Result<Option<Marker>, LockError> {
        match &self.markers {
            None => Ok(None),
            Some(PoetryMarkers::Of(text)) => contents::marker(Some(text), place),
            Some(PoetryMarkers::OfGroups(table)) => {
                let groups: BTreeSet<&String> = self.groups.iter().chain(table.keys()).collect();
                let mut parts = Vec::new();
                for group in groups {
                    let text = table.get(group).map(String::as_str);
                    parts.push(contents::marker(text, place)?);
                }
                Ok(Marker::any(parts))
            }
        }
    }
}
