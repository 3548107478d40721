//! `uv.lock`: every file of every version, with its URL; markers stand on the dependencies.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::reach;
use super::reading::{self, LeftOut, LockError, Origin, Reading};
use crate::airgap::wanted::{NamedFile, Wanted};

/// Any `revision` of this version can be read; another version cannot.
const VERSION: u64 = 1;

#[derive(Debug, Deserialize)]
struct Header {
    version: u64,
}

#[derive(Debug, Deserialize)]
struct Lock {
    #[serde(default, alias = "distribution")]
    package: Vec<Package>,
    #[serde(default)]
    manifest: Manifest,
}

#[derive(Debug, Default, Deserialize)]
struct Manifest {
    #[serde(default)]
    members: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    #[serde(default)]
    source: Source,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<Dependency>>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, Vec<Dependency>>,
    #[serde(default)]
    resolution_markers: Vec<String>,
    sdist: Option<File>,
    #[serde(default)]
    wheels: Vec<File>,
}

#[derive(Debug, Default, Deserialize)]
struct Source {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
    path: Option<String>,
    directory: Option<String>,
    editable: Option<String>,
    r#virtual: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    version: Option<String>,
    marker: Option<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    url: Option<String>,
    path: Option<String>,
    filename: Option<String>,
    hash: Option<String>,
    size: Option<u64>,
}

/// Reads it; `name` is what the file is called in reports.
pub(super) fn read(name: &str, text: &str) -> Result<Reading, LockError> {
    let header: Header =
        toml::from_str(text).map_err(|why| LockError::of_toml(name, text, &why))?;
    if header.version != VERSION {
        let found = header.version;
        let why = format!(
            "uv.lock has version {found}, and this larder reads version {VERSION}: lock with another uv, or export \
             with `uv export --format pylock.toml`"
        );
        return Err(LockError::new(name, why));
    }
    let lock: Lock = toml::from_str(text).map_err(|why| LockError::of_toml(name, text, &why))?;
    let markers = reach::markers(&nodes(&lock.package, name)?);
    let mut found = Reading::default();
    for (package, reached) in lock.package.iter().zip(markers) {
        let source = &package.source;
        if let Some((why, at)) = source.elsewhere() {
            if !source.is_own(&package.name, &lock.manifest.members) {
                let files = package.sdist.iter().chain(&package.wheels);
                let file = files.clone().find_map(|file| file.path.as_deref());
                found.left_out.push(LeftOut {
                    project: Some(package.name.clone()),
                    why,
                    url: Url::parse(at).ok().filter(|_| why == Origin::DirectUrl),
                    at: Some(file.unwrap_or(at).to_owned()),
                    sha256: files
                        .filter_map(|file| reading::sha256(file.hash.as_deref()?))
                        .next(),
                    marker: reached,
                    place: name.to_owned(),
                });
            }
            continue;
        }
        found.index(source.registry.as_deref());
        let files = package
            .sdist
            .iter()
            .chain(&package.wheels)
            .filter_map(File::named)
            .collect();
        let locked = reading::locked(&package.name, package.version.as_deref(), files, name)?;
        for file in package.sdist.iter().chain(&package.wheels) {
            found.compare(&locked.project, file.hash.as_deref().into_iter(), name);
        }
        found.add(Wanted {
            marker: reached,
            ..locked
        });
    }
    Ok(found)
}

/// The packages as nodes of the graph that they are.
fn nodes(packages: &[Package], place: &str) -> Result<Vec<reach::Node>, LockError> {
    let node = |package: &Package| {
        let groups = package
            .optional_dependencies
            .values()
            .chain(package.dev_dependencies.values());
        let dependencies = package.dependencies.iter().chain(groups.flatten());
        let edge = |edge: &Dependency| {
            let marker = reading::marker(edge.marker.as_deref(), place)?;
            Ok(reach::Edge {
                name: edge.name.clone(),
                version: edge.version.clone(),
                marker,
            })
        };
        let forks = package
            .resolution_markers
            .iter()
            .map(|text| reading::marker(Some(text), place));
        Ok(reach::Node {
            name: package.name.clone(),
            version: package.version.clone(),
            edges: dependencies.map(edge).collect::<Result<_, LockError>>()?,
            forks: forks.collect::<Result<_, LockError>>()?,
            is_root: package.source.tree().is_some(),
        })
    };
    packages.iter().map(node).collect()
}

impl Source {
    /// A source tree on the disk.
    fn tree(&self) -> Option<&str> {
        self.directory
            .as_deref()
            .or(self.editable.as_deref())
            .or(self.r#virtual.as_deref())
    }

    /// Where it comes from, if not from an index.
    fn elsewhere(&self) -> Option<(Origin, &str)> {
        let folder = self
            .registry
            .as_deref()
            .filter(|url| !reading::is_http(url));
        self.git
            .as_deref()
            .map(|at| (Origin::Repository, at))
            .or_else(|| {
                let url = self.url.as_deref().map(|at| (Origin::DirectUrl, at));
                url.or_else(|| {
                    self.path
                        .as_deref()
                        .or(self.tree())
                        .or(folder)
                        .map(|at| (Origin::Path, at))
                })
            })
    }

    /// Whether this is the workspace itself.
    fn is_own(&self, name: &str, members: &[String]) -> bool {
        self.tree()
            .is_some_and(|at| at == "." || members.iter().any(|member| member == name))
    }
}

impl File {
    fn named(&self) -> Option<NamedFile> {
        let (name, url) = (self.filename.as_deref(), self.url.as_deref());
        let mut file = reading::named_file(name, url, self.path.as_deref())?;
        file.sha256 = self.hash.as_deref().and_then(reading::sha256);
        file.size = self.size;
        Some(file)
    }
}
