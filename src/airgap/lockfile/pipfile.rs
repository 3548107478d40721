//! `Pipfile.lock`: pinned versions with the hashes of all their files; no file names.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::contents::{self, LockContents, LockError, LockedPackage, NonIndexSource};
use super::locked_file;

const SPECIFICATION: u64 = 6;

#[derive(Deserialize)]
struct PipfileLock {
    #[serde(rename = "_meta")]
    meta: PipfileMeta,
    /// `default`, `develop` and what other categories a project has.
    #[serde(flatten)]
    categories: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PipfileMeta {
    pipfile_spec: u64,
    #[serde(default)]
    sources: Vec<PipfileSource>,
}

#[derive(Deserialize)]
struct PipfileSource {
    url: Option<String>,
}

#[derive(Deserialize)]
struct PipfilePackage {
    version: Option<String>,
    #[serde(default)]
    hashes: Vec<String>,
    markers: Option<String>,
    #[serde(rename = "git", alias = "hg", alias = "svn")]
    repository: Option<String>,
    file: Option<String>,
    path: Option<String>,
}

/// Reads it; `name` is what the file is called in reports.
pub fn read(name: &str, text: &str) -> Result<LockContents, LockError> {
    let lock: PipfileLock = contents::from_json(name, text)?;
    let specification = lock.meta.pipfile_spec;
    if specification != SPECIFICATION {
        let why = format!(
            "Pipfile.lock has pipfile-spec {specification}, and this larder reads {SPECIFICATION}"
        );
        return Err(LockError::new(name, why));
    }
    let mut found = LockContents::default();
    for source in &lock.meta.sources {
        found.index(source.url.as_deref());
    }
    for (project, value) in lock.categories.values().flatten() {
        let package = PipfilePackage::deserialize(value)
            .map_err(|why| LockError::new(name, format!("`{project}`: {why}")))?;
        if contents::is_own_tree(package.path.as_deref()) {
            continue;
        }
        let (elsewhere, at) = package.elsewhere().unzip();
        let pinned = package.version.as_deref().unwrap_or_default();
        let locked = LockedPackage {
            name: project,
            version: Some(pinned.trim_start_matches('=')),
            elsewhere,
            at,
            hashes: package.hashes.clone(),
            marker: contents::marker(package.markers.as_deref(), name)?,
            ..LockedPackage::default()
        };
        found.lock(locked, name)?;
    }
    Ok(found)
}

impl PipfilePackage {
    /// Where it comes from, if not from an index: with its URL or path.
    fn elsewhere(&self) -> Option<(NonIndexSource, &str)> {
        if let Some(at) = &self.repository {
            return Some((NonIndexSource::Repository, at));
        }
        match &self.file {
            Some(url) if locked_file::is_http(url) => Some((NonIndexSource::DirectUrl, url)),
            Some(file) => Some((NonIndexSource::Path, file)),
            None => Some((NonIndexSource::Path, self.path.as_deref()?)),
        }
    }
}
