//! `pdm.lock` 4.x: file names or, with the strategy `static_urls`, URLs; a package with extras stands there once for each set
//! of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::reading::{self, LeftOut, LockError, Origin, Reading};
use crate::airgap::wanted::{NamedFile, Wanted};

/// What pdm itself goes by.
const MAJOR: &str = "4.";

#[derive(Debug, Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    lock_version: String,
    /// By `NAME VERSION`, before 4.4.
    #[serde(default)]
    files: BTreeMap<String, Vec<File>>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    requires_python: Option<String>,
    marker: Option<String>,
    git: Option<String>,
    hg: Option<String>,
    svn: Option<String>,
    url: Option<String>,
    path: Option<String>,
    #[serde(default)]
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct File {
    file: Option<String>,
    url: Option<String>,
    hash: Option<String>,
}

/// Reads it; `name` is what the file is called in reports.
pub(super) fn read(name: &str, text: &str) -> Result<Reading, LockError> {
    let lock: Lock = toml::from_str(text).map_err(|why| LockError::of_toml(name, text, &why))?;
    let version = &lock.metadata.lock_version;
    if !version.starts_with(MAJOR) {
        let why = format!("pdm.lock has version {version}, and this larder reads {MAJOR}x");
        return Err(LockError::new(name, why));
    }
    let mut found = Reading::default();
    for package in &lock.package {
        if let Some(why) = package.elsewhere() {
            let own = matches!(package.path.as_deref(), Some("." | "./"));
            if !own {
                let url = package.url.as_deref().filter(|_| why == Origin::DirectUrl);
                let hashes = package.files.iter().filter_map(|file| file.hash.as_deref());
                found.left_out.push(LeftOut {
                    project: Some(package.name.clone()),
                    why,
                    url: url.and_then(|url| Url::parse(url).ok()),
                    at: package.location().map(str::to_owned),
                    sha256: hashes.filter_map(reading::sha256).next(),
                    marker: reading::marker(package.marker.as_deref(), name)?,
                    place: name.to_owned(),
                });
            }
            continue;
        }
        let text = package.version.as_deref().unwrap_or_default();
        let older = lock.metadata.files.get(&format!("{} {text}", package.name));
        let files = package.files.iter().chain(older.into_iter().flatten());
        let locked = reading::locked(
            &package.name,
            Some(text),
            files.clone().filter_map(File::named).collect(),
            name,
        )?;
        for file in files {
            found.compare(&locked.project, file.hash.as_deref().into_iter(), name);
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
        let places = [&self.git, &self.hg, &self.svn, &self.url, &self.path];
        places.into_iter().find_map(|place| place.as_deref())
    }

    fn elsewhere(&self) -> Option<Origin> {
        if self.git.is_some() || self.hg.is_some() || self.svn.is_some() {
            return Some(Origin::Repository);
        }
        if self.path.is_some() {
            return Some(Origin::Path);
        }
        self.url.as_ref().map(|_| Origin::DirectUrl)
    }
}

impl File {
    fn named(&self) -> Option<NamedFile> {
        let mut file = reading::named_file(self.file.as_deref(), self.url.as_deref(), None)?;
        file.sha256 = self.hash.as_deref().and_then(reading::sha256);
        Some(file)
    }
}
