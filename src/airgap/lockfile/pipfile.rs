//! `Pipfile.lock`: pinned versions with the hashes of all their files; no file names.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::contents::{self, LockContents, LockError, NonIndexPackage, NonIndexSource};
use super::locked_file;
use crate::airgap::wanted::{WantedFiles, WantedProject, WantedVersions};

const SPECIFICATION: u64 = 6;

#[derive(Debug, Deserialize)]
struct PipfileLock {
    #[serde(rename = "_meta")]
    meta: PipfileMeta,
    /// `default`, `develop` and what other categories a project has.
    #[serde(flatten)]
    categories: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PipfileMeta {
    pipfile_spec: u64,
    #[serde(default)]
    sources: Vec<PipfileSource>,
}

#[derive(Debug, Deserialize)]
struct PipfileSource {
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PipfilePackage {
    version: Option<String>,
    #[serde(default)]
    hashes: Vec<String>,
    markers: Option<String>,
    git: Option<String>,
    hg: Option<String>,
    svn: Option<String>,
    file: Option<String>,
    path: Option<String>,
}

/// Reads it; `name` is what the file is called in reports.
pub(super) fn read(name: &str, text: &str) -> Result<LockContents, LockError> {
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
        match PipfilePackage::deserialize(value) {
            Ok(package) => package.add_to(&mut found, project, name)?,
            Err(why) => return Err(LockError::new(name, format!("`{project}`: {why}"))),
        }
    }
    Ok(found)
}

impl PipfilePackage {
    fn add_to(
        &self,
        found: &mut LockContents,
        project: &str,
        place: &str,
    ) -> Result<(), LockError> {
        let digests = self
            .hashes
            .iter()
            .filter_map(|hash| locked_file::sha256(hash));
        if let Some((source, at)) = self.elsewhere() {
            if !contents::is_own_tree(self.path.as_deref()) {
                let sha256 = digests.clone().next();
                let marker = contents::marker(self.markers.as_deref(), place)?;
                let left = NonIndexPackage::new(project, source, Some(at), sha256, marker, place);
                found.left_out.push(left);
            }
            return Ok(());
        }
        let project = contents::project(project, place)?;
        let pinned = self.version.as_deref().unwrap_or_default();
        let version = contents::version(&project, pinned.trim_start_matches('='), place)?;
        let algorithms = self.hashes.iter().map(|hash| locked_file::algorithm(hash));
        found.compare(&project, algorithms, place);
        found.add(WantedProject {
            versions: WantedVersions::Exactly(version),
            project,
            files: WantedFiles::hashed(digests.collect()),
            requires_python: None,
            marker: contents::marker(self.markers.as_deref(), place)?,
            prereleases: None,
            place: place.to_owned(),
        });
        Ok(())
    }

    /// Where it comes from, if not from an index: with its URL or path.
    fn elsewhere(&self) -> Option<(NonIndexSource, &str)> {
        let repository = [&self.git, &self.hg, &self.svn]
            .into_iter()
            .flatten()
            .next();
        if let Some(at) = repository {
            return Some((NonIndexSource::Repository, at));
        }
        match &self.file {
            Some(url) if locked_file::is_http(url) => Some((NonIndexSource::DirectUrl, url)),
            Some(file) => Some((NonIndexSource::Path, file)),
            None => Some((NonIndexSource::Path, self.path.as_deref()?)),
        }
    }
}
