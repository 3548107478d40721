//! `Pipfile.lock`: pinned versions with the hashes of all their files; no file names.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::reading::{self, LeftOut, LockError, Origin, Reading};
use crate::airgap::wanted::{Files, Versions, Wanted};

const SPECIFICATION: u64 = 6;

#[derive(Debug, Deserialize)]
struct Lock {
    #[serde(rename = "_meta")]
    meta: Meta,
    /// `default`, `develop` and what other categories a project has.
    #[serde(flatten)]
    categories: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    pipfile_spec: u64,
    #[serde(default)]
    sources: Vec<Source>,
}

#[derive(Debug, Deserialize)]
struct Source {
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Package {
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
pub(super) fn read(name: &str, text: &str) -> Result<Reading, LockError> {
    let lock: Lock = serde_json::from_str(text)
        .map_err(|why| LockError::new(&format!("{name}:{}", why.line()), why))?;
    if lock.meta.pipfile_spec != SPECIFICATION {
        let found = lock.meta.pipfile_spec;
        let why =
            format!("Pipfile.lock has pipfile-spec {found}, and this larder reads {SPECIFICATION}");
        return Err(LockError::new(name, why));
    }
    let mut found = Reading::default();
    for source in &lock.meta.sources {
        found.index(source.url.as_deref());
    }
    for (project, value) in lock.categories.values().flatten() {
        let package = Package::deserialize(value)
            .map_err(|why| LockError::new(name, format!("`{project}`: {why}")))?;
        add(&mut found, project, &package, name)?;
    }
    Ok(found)
}

fn add(
    found: &mut Reading,
    project: &str,
    package: &Package,
    place: &str,
) -> Result<(), LockError> {
    if let Some((why, url)) = package.elsewhere() {
        if !matches!(package.path.as_deref(), Some("." | "./")) {
            found.left_out.push(LeftOut {
                project: Some(project.to_owned()),
                why,
                url: url.and_then(|url| Url::parse(url).ok()),
                at: package.location().map(str::to_owned),
                sha256: package
                    .hashes
                    .iter()
                    .filter_map(|hash| reading::sha256(hash))
                    .next(),
                marker: reading::marker(package.markers.as_deref(), place)?,
                place: place.to_owned(),
            });
        }
        return Ok(());
    }
    let project = reading::project(project, place)?;
    let pinned = package
        .version
        .as_deref()
        .unwrap_or_default()
        .trim_start_matches('=');
    let hashes: BTreeSet<_> = package
        .hashes
        .iter()
        .filter_map(|hash| reading::sha256(hash))
        .collect();
    found.compare(&project, package.hashes.iter().map(String::as_str), place);
    found.add(Wanted {
        versions: Versions::Exactly(reading::version(&project, pinned, place)?),
        project,
        files: if hashes.is_empty() {
            Files::Any
        } else {
            Files::Hashed(hashes)
        },
        requires_python: None,
        marker: reading::marker(package.markers.as_deref(), place)?,
        prereleases: None,
        place: place.to_owned(),
    });
    Ok(())
}

impl Package {
    /// The URL or path of what comes from no index.
    fn location(&self) -> Option<&str> {
        let places = [&self.git, &self.hg, &self.svn, &self.file, &self.path];
        places.into_iter().find_map(|place| place.as_deref())
    }

    fn elsewhere(&self) -> Option<(Origin, Option<&str>)> {
        if self.git.is_some() || self.hg.is_some() || self.svn.is_some() {
            return Some((Origin::Repository, None));
        }
        match self.file.as_deref() {
            Some(url) if reading::is_http(url) => Some((Origin::DirectUrl, Some(url))),
            None if self.path.is_none() => None,
            _ => Some((Origin::Path, None)),
        }
    }
}
