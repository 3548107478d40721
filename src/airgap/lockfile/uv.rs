//! `uv.lock`: every file of every version, with its URL; markers stand on the dependencies.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::contents::{self, LockContents, LockError, LockedPackage, NonIndexSource};
use super::locked_file::{self, LockedFile};
use super::reach;

/// Any `revision` of this version can be read; another version cannot.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct UvLockVersion {
    version: u64,
}

#[derive(Deserialize)]
struct UvLock {
    #[serde(default, alias = "distribution")]
    package: Vec<UvPackage>,
    #[serde(default)]
    manifest: UvManifest,
}

#[derive(Default, Deserialize)]
struct UvManifest {
    #[serde(default)]
    members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UvPackage {
    name: String,
    version: Option<String>,
    #[serde(default)]
    source: UvSource,
    #[serde(default)]
    dependencies: Vec<UvDependency>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<UvDependency>>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, Vec<UvDependency>>,
    #[serde(default)]
    resolution_markers: Vec<String>,
    sdist: Option<LockedFile>,
    #[serde(default)]
    wheels: Vec<LockedFile>,
}

#[derive(Default, Deserialize)]
struct UvSource {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
    path: Option<String>,
    /// A source tree on the disk.
    #[serde(rename = "directory", alias = "editable", alias = "virtual")]
    tree: Option<String>,
}

#[derive(Deserialize)]
struct UvDependency {
    name: String,
    version: Option<String>,
    marker: Option<String>,
}

/// Reads it; `name` is what the file is called in reports.
pub fn read(name: &str, text: &str) -> Result<LockContents, LockError> {
    let UvLockVersion { version } = contents::from_toml(name, text)?;
    if version != VERSION {
        let why = format!(
            "uv.lock has version {version}, and this larder reads version {VERSION}: \
             lock with another uv, or export with `uv export --format pylock.toml`"
        );
        return Err(LockError::new(name, why));
    }
    let lock: UvLock = contents::from_toml(name, text)?;
    let markers = reach::markers(&nodes(&lock.package, name)?);
    let mut found = LockContents::default();
    for (package, marker) in lock.package.iter().zip(markers) {
        let source = &package.source;
        if source.is_own(&package.name, &lock.manifest.members) {
            continue;
        }
        let files: Vec<&LockedFile> = package.sdist.iter().chain(&package.wheels).collect();
        let (elsewhere, mut at) = source.elsewhere().unzip();
        match elsewhere {
            None => at = source.registry.as_deref(),
            Some(NonIndexSource::DirectUrl) => {}
            Some(NonIndexSource::Repository | NonIndexSource::Path) => {
                let path = files.iter().find_map(|file| file.path.as_deref());
                at = path.or(at);
            }
        }
        let locked = LockedPackage {
            name: &package.name,
            version: package.version.as_deref(),
            elsewhere,
            at,
            files,
            marker,
            ..LockedPackage::default()
        };
        found.lock(locked, name)?;
    }
    Ok(found)
}

/// The packages as nodes of the graph that they are.
fn nodes(packages: &[UvPackage], place: &str) -> Result<Vec<reach::Node>, LockError> {
    let mut nodes = Vec::new();
    for package in packages {
        let extras = package.optional_dependencies.values();
        let groups = extras.chain(package.dev_dependencies.values());
        let mut edges = Vec::new();
        for dependency in package.dependencies.iter().chain(groups.flatten()) {
            edges.push(reach::Edge {
                name: dependency.name.clone(),
                version: dependency.version.clone(),
                marker: contents::marker(dependency.marker.as_deref(), place)?,
            });
        }
        nodes.push(reach::Node {
            name: package.name.clone(),
            version: package.version.clone(),
            edges,
            forks: contents::markers(&package.resolution_markers, place)?,
            is_root: package.source.tree.is_some(),
        });
    }
    Ok(nodes)
}

impl UvSource {
    /// Where it comes from, if not from an index: with its URL or path.
    fn elsewhere(&self) -> Option<(NonIndexSource, &str)> {
        if let Some(at) = &self.git {
            return Some((NonIndexSource::Repository, at));
        }
        if let Some(at) = &self.url {
            return Some((NonIndexSource::DirectUrl, at));
        }
        if let Some(at) = self.path.as_ref().or(self.tree.as_ref()) {
            return Some((NonIndexSource::Path, at));
        }
        // An index in a folder.
        match &self.registry {
            Some(folder) if !locked_file::is_http(folder) => Some((NonIndexSource::Path, folder)),
            _ => None,
        }
    }

    /// Whether this is the workspace itself.
    fn is_own(&self, name: &str, members: &[String]) -> bool {
        let Some(tree) = &self.tree else {
            return false;
        };
        tree == "." || members.iter().any(|member| member == name)
    }
}
