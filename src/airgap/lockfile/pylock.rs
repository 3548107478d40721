//! `pylock.toml` (PEP 751): files with URLs and hashes, markers on the packages.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::reading::{self, LeftOut, LockError, Origin, Reading};
use crate::airgap::wanted::{NamedFile, Wanted};

/// A later minor version adds keys and takes none away.
const MAJOR: &str = "1.";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Lock {
    lock_version: String,
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    requires_python: Option<String>,
    index: Option<String>,
    #[serde(default)]
    wheels: Vec<File>,
    sdist: Option<File>,
    archive: Option<File>,
    vcs: Option<Place>,
    directory: Option<Place>,
}

#[derive(Debug, Deserialize)]
struct Place {
    url: Option<String>,
    path: Option<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

/// Reads it; `name` is what the file is called in reports.
pub(super) fn read(name: &str, text: &str) -> Result<Reading, LockError> {
    let lock: Lock = toml::from_str(text).map_err(|why| LockError::of_toml(name, text, &why))?;
    if !lock.lock_version.starts_with(MAJOR) {
        let why = format!(
            "pylock.toml has version {}, and this larder reads {MAJOR}x",
            lock.lock_version
        );
        return Err(LockError::new(name, why));
    }
    let mut found = Reading::default();
    for package in &lock.packages {
        if let Some((why, file)) = package.elsewhere() {
            let own = package
                .directory
                .as_ref()
                .and_then(|directory| directory.path.as_deref());
            if !matches!(own, Some("." | "./")) {
                let url = file.and_then(|file| file.url.as_deref());
                found.left_out.push(LeftOut {
                    project: Some(package.name.clone()),
                    why,
                    url: url.and_then(|url| Url::parse(url).ok()),
                    at: package.location().map(str::to_owned),
                    sha256: file.and_then(|file| reading::sha256_of(&file.hashes)),
                    marker: reading::marker(package.marker.as_deref(), name)?,
                    place: name.to_owned(),
                });
            }
            continue;
        }
        found.index(package.index.as_deref());
        let files = package
            .sdist
            .iter()
            .chain(&package.wheels)
            .filter_map(File::named)
            .collect();
        let locked = reading::locked(&package.name, package.version.as_deref(), files, name)?;
        for file in package.sdist.iter().chain(&package.wheels) {
            let algorithms: Vec<String> =
                file.hashes.keys().map(|name| format!("{name}:")).collect();
            found.compare(&locked.project, algorithms.iter().map(String::as_str), name);
        }
        found.add(Wanted {
            requires_python: reading::requires_python(package.requires_python.as_deref()),
            marker: reading::marker(package.marker.as_deref(), name)?,
            ..locked
        });
    }
    Ok(found)
}

impl Package {
    /// The URL or path of what comes from no index.
    fn location(&self) -> Option<&str> {
        let place = self.vcs.as_ref().or(self.directory.as_ref());
        let place = place.map(|place| (&place.url, &place.path));
        let (url, path) =
            place.or_else(|| self.archive.as_ref().map(|file| (&file.url, &file.path)))?;
        url.as_deref().or(path.as_deref())
    }

    /// Where it comes from, if not from an index.
    fn elsewhere(&self) -> Option<(Origin, Option<&File>)> {
        if self.vcs.is_some() {
            return Some((Origin::Repository, None));
        }
        if self.directory.is_some() {
            return Some((Origin::Path, None));
        }
        let archive = self.archive.as_ref()?;
        let why = if archive.url.is_some() {
            Origin::DirectUrl
        } else {
            Origin::Path
        };
        Some((why, Some(archive)))
    }
}

impl File {
    fn named(&self) -> Option<NamedFile> {
        let (name, url) = (self.name.as_deref(), self.url.as_deref());
        let mut file = reading::named_file(name, url, self.path.as_deref())?;
        file.sha256 = reading::sha256_of(&self.hashes);
        file.size = self.size;
        Some(file)
    }
}
