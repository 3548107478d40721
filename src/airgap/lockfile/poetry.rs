//! `poetry.lock`, 0.12 to 2.x: file names and hashes, no URLs; before 1.0 hashes alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::contents::{self, LockContents, LockError, LockedPackage, NonIndexSource};
use super::locked_file::LockedFile;
use super::marker::Marker;

#[derive(Deserialize)]
struct PoetryLock {
    #[serde(default)]
    package: Vec<PoetryPackage>,
    metadata: PoetryMetadata,
}

#[derive(Deserialize)]
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

#[derive(Deserialize)]
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
    #[serde(default)]
    source: PoetrySource,
}

/// One for all groups, or one for each that has any: a group that is left out needs the package
/// everywhere.
#[derive(Deserialize)]
#[serde(untagged)]
enum PoetryMarkers {
    Of(String),
    OfGroups(BTreeMap<String, String>),
}

#[derive(Default, Deserialize)]
struct PoetrySource {
    r#type: Option<String>,
    url: Option<String>,
}

/// Reads it; `name` is what the file is called in reports.
pub fn read(name: &str, text: &str) -> Result<LockContents, LockError> {
    let lock: PoetryLock = contents::from_toml(name, text)?;
    let version = lock.metadata.lock_version.as_deref().unwrap_or("1.0");
    if !version.starts_with("1.") && !version.starts_with("2.") {
        let why = format!("poetry.lock has version {version}, and this larder reads 1.x and 2.x");
        return Err(LockError::new(name, why));
    }
    let mut found = LockContents::default();
    for package in &lock.package {
        let mut locked = LockedPackage {
            name: &package.name,
            version: Some(&package.version),
            elsewhere: package.elsewhere(),
            at: package.source.url.as_deref(),
            files: package.files.iter().collect(),
            requires_python: package.python_versions.as_deref(),
            marker: package.marker(name)?,
            ..LockedPackage::default()
        };
        if locked.elsewhere.is_none() {
            lock.metadata.complete(&mut locked);
            if locked.files.iter().any(|file| file.named().is_none()) {
                let why = format!("a file of `{}` has no name", package.name);
                return Err(LockError::new(name, why));
            }
        }
        found.lock(locked, name)?;
    }
    Ok(found)
}

impl PoetryMetadata {
    /// Adds what older locks say of the files here.
    fn complete<'l>(&'l self, locked: &mut LockedPackage<'l>) {
        if locked.files.is_empty()
            && let Some(files) = self.files.get(locked.name)
        {
            locked.files.extend(files);
        }
        for hex in self.hashes.get(locked.name).into_iter().flatten() {
            locked.hashes.push(format!("sha256:{hex}"));
        }
    }
}

impl PoetryPackage {
    fn elsewhere(&self) -> Option<NonIndexSource> {
        match self.source.r#type.as_deref()? {
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
