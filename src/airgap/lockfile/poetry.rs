//! `poetry.lock`, 0.12 to 2.x: file names and hashes, no URLs; before 1.0 hashes alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use url::Url;

use super::marker::Marker;
use super::reading::{self, LeftOut, LockError, Origin, Reading};
use crate::airgap::wanted::{Files, NamedFile, Wanted};
use crate::values::digest::Digest;

#[derive(Debug, Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    /// Not in 1.0 and before.
    lock_version: Option<String>,
    /// By name, in 1.x.
    #[serde(default)]
    files: BTreeMap<String, Vec<File>>,
    /// By name, before 1.0: sha256 in hex.
    #[serde(default)]
    hashes: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: String,
    python_versions: Option<String>,
    #[serde(default)]
    files: Vec<File>,
    /// The groups that need it; in 2.x.
    #[serde(default)]
    groups: BTreeSet<String>,
    /// `marker` in 1.0.
    #[serde(alias = "marker")]
    markers: Option<Markers>,
    source: Option<Source>,
}

/// One for all groups, or one for each that has any: a group that is left out needs the package everywhere.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Markers {
    Of(String),
    OfGroups(BTreeMap<String, String>),
}

#[derive(Debug, Deserialize)]
struct Source {
    r#type: Option<String>,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    file: String,
    hash: Option<String>,
}

/// Reads it; `name` is what the file is called in reports.
pub(super) fn read(name: &str, text: &str) -> Result<Reading, LockError> {
    let lock: Lock = toml::from_str(text).map_err(|why| LockError::of_toml(name, text, &why))?;
    let version = lock.metadata.lock_version.as_deref().unwrap_or("1.0");
    if !version.starts_with("1.") && !version.starts_with("2.") {
        let why = format!("poetry.lock has version {version}, and this larder reads 1.x and 2.x");
        return Err(LockError::new(name, why));
    }
    let mut found = Reading::default();
    for package in &lock.package {
        let url = package
            .source
            .as_ref()
            .and_then(|source| source.url.as_deref());
        if let Some(why) = package.elsewhere() {
            found.left_out.push(LeftOut {
                project: Some(package.name.clone()),
                why,
                url: url
                    .and_then(|url| Url::parse(url).ok())
                    .filter(|_| why == Origin::DirectUrl),
                at: url.map(str::to_owned),
                sha256: package
                    .files
                    .iter()
                    .filter_map(|file| reading::sha256(file.hash.as_deref()?))
                    .next(),
                marker: package.marker(name)?,
                place: name.to_owned(),
            });
            continue;
        }
        found.index(url);
        let files = match lock.metadata.files.get(&package.name) {
            Some(files) if package.files.is_empty() => files,
            _ => &package.files,
        };
        let named = files.iter().map(File::named).collect();
        let mut locked = reading::locked(&package.name, Some(&package.version), named, name)?;
        for file in files {
            found.compare(&locked.project, file.hash.as_deref().into_iter(), name);
        }
        let older = lock
            .metadata
            .hashes
            .get(&package.name)
            .into_iter()
            .flatten();
        let older: BTreeSet<Digest> = older.filter_map(|hex| Digest::parse(hex)).collect();
        if files.is_empty() && !older.is_empty() {
            locked.files = Files::Hashed(older);
        }
        found.add(Wanted {
            requires_python: reading::requires_python(package.python_versions.as_deref()),
            marker: package.marker(name)?,
            ..locked
        });
    }
    Ok(found)
}

impl Package {
    fn elsewhere(&self) -> Option<Origin> {
        match self.source.as_ref()?.r#type.as_deref()? {
            "git" | "hg" | "svn" | "bzr" => Some(Origin::Repository),
            "directory" | "file" => Some(Origin::Path),
            "url" => Some(Origin::DirectUrl),
            _ => None,
        }
    }

    fn marker(&self, place: &str) -> Result<Option<Marker>, LockError> {
        match &self.markers {
            None => Ok(None),
            Some(Markers::Of(text)) => reading::marker(Some(text), place),
            Some(Markers::OfGroups(table)) => {
                let groups: BTreeSet<&String> = self.groups.iter().chain(table.keys()).collect();
                let parts = groups
                    .into_iter()
                    .map(|group| reading::marker(table.get(group).map(String::as_str), place));
                Ok(Marker::any(parts.collect::<Result<Vec<_>, _>>()?))
            }
        }
    }
}

impl File {
    fn named(&self) -> NamedFile {
        let sha256 = self.hash.as_deref().and_then(reading::sha256);
        NamedFile {
            filename: self.file.clone(),
            sha256,
            size: None,
            url: None,
        }
    }
}
