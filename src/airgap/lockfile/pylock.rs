//! `pylock.toml` (PEP 751): files with URLs and hashes, markers on the packages.

use serde::Deserialize;

use super::contents::{self, LockContents, LockError, LockedPackage, NonIndexSource};
use super::locked_file::LockedFile;

/// A later minor version adds keys and takes none away.
const MAJOR: &str = "1.";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pylock {
    lock_version: String,
    #[serde(default)]
    packages: Vec<PylockPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PylockPackage {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    requires_python: Option<String>,
    index: Option<String>,
    #[serde(default)]
    wheels: Vec<LockedFile>,
    sdist: Option<LockedFile>,
    archive: Option<LockedFile>,
    vcs: Option<LockedFile>,
    directory: Option<LockedFile>,
}

/// Reads it; `name` is what the file is called in reports.
pub fn read(name: &str, text: &str) -> Result<LockContents, LockError> {
    let lock: Pylock = contents::from_toml(name, text)?;
    let version = &lock.lock_version;
    if !version.starts_with(MAJOR) {
        let why = format!("pylock.toml has version {version}, and this larder reads {MAJOR}x");
        return Err(LockError::new(name, why));
    }
    let mut found = LockContents::default();
    for package in &lock.packages {
        if let Some(tree) = &package.directory
            && contents::is_own_tree(tree.path.as_deref())
        {
            continue;
        }
        let mut locked = LockedPackage {
            name: &package.name,
            version: package.version.as_deref(),
            at: package.index.as_deref(),
            files: package.sdist.iter().chain(&package.wheels).collect(),
            requires_python: package.requires_python.as_deref(),
            marker: contents::marker(package.marker.as_deref(), name)?,
            ..LockedPackage::default()
        };
        if let Some((source, file)) = package.elsewhere() {
            locked.elsewhere = Some(source);
            locked.at = file.location();
            locked.files = vec![file];
        }
        found.lock(locked, name)?;
    }
    Ok(found)
}

impl PylockPackage {
    /// Where it comes from, if not from an index.
    fn elsewhere(&self) -> Option<(NonIndexSource, &LockedFile)> {
        if let Some(repository) = &self.vcs {
            return Some((NonIndexSource::Repository, repository));
        }
        if let Some(tree) = &self.directory {
            return Some((NonIndexSource::Path, tree));
        }
        let archive = self.archive.as_ref()?;
        let source = match archive.url {
            Some(_) => NonIndexSource::DirectUrl,
            None => NonIndexSource::Path,
        };
        Some((source, archive))
    }
}
