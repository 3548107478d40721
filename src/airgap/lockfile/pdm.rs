//! `pdm.lock` 4.x: file names or, with the strategy `static_urls`, URLs; a package with extras
//! stands there once for each set of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::contents::{self, LockContents, LockError, LockedPackage, NonIndexSource};
use super::locked_file::LockedFile;

/// What pdm itself goes by.
const MAJOR: &str = "4.";

#[derive(Deserialize)]
struct PdmLock {
    #[serde(default)]
    package: Vec<PdmPackage>,
    metadata: PdmMetadata,
}

#[derive(Deserialize)]
struct PdmMetadata {
    lock_version: String,
    /// By `NAME VERSION`, before 4.4.
    #[serde(default)]
    files: BTreeMap<String, Vec<LockedFile>>,
}

#[derive(Deserialize)]
struct PdmPackage {
    name: String,
    version: Option<String>,
    requires_python: Option<String>,
    marker: Option<String>,
    #[serde(rename = "git", alias = "hg", alias = "svn")]
    repository: Option<String>,
    url: Option<String>,
    path: Option<String>,
    #[serde(default)]
    files: Vec<LockedFile>,
}

/// Reads it; `name` is what the file is called in reports.
pub fn read(name: &str, text: &str) -> Result<LockContents, LockError> {
    let lock: PdmLock = contents::from_toml(name, text)?;
    let version = &lock.metadata.lock_version;
    if !version.starts_with(MAJOR) {
        let why = format!("pdm.lock has version {version}, and this larder reads {MAJOR}x");
        return Err(LockError::new(name, why));
    }
    let mut found = LockContents::default();
    for package in &lock.package {
        if contents::is_own_tree(package.path.as_deref()) {
            continue;
        }
        let (elsewhere, at) = package.elsewhere().unzip();
        let version = package.version.as_deref().unwrap_or_default();
        let key = format!("{} {version}", package.name);
        let older = lock.metadata.files.get(&key).into_iter().flatten();
        let locked = LockedPackage {
            name: &package.name,
            version: Some(version),
            elsewhere,
            at,
            files: package.files.iter().chain(older).collect(),
            requires_python: package.requires_python.as_deref(),
            marker: contents::marker(package.marker.as_deref(), name)?,
            ..LockedPackage::default()
        };
        found.lock(locked, name)?;
    }
    Ok(found)
}

impl PdmPackage {
    /// Where it comes from, if not from an index: with its URL or path.
    fn elsewhere(&self) -> Option<(NonIndexSource, &str)> {
        if let Some(at) = &self.repository {
            return Some((NonIndexSource::Repository, at));
        }
        match (&self.url, &self.path) {
            (Some(at), None) => Some((NonIndexSource::DirectUrl, at)),
            (Some(at), Some(_)) | (None, Some(at)) => Some((NonIndexSource::Path, at)),
            (None, None) => None,
        }
    }
}
