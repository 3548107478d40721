//! The machines that a lock is for as a whole: its Pythons, and its environments. Pure.
//!
//! Outside of them its tool refuses to install, whatever its packages say. Must not know any
//! package.

use pep440_rs::VersionSpecifiers;
use serde::Deserialize;

use super::contents::{self, LockError};
use super::format::LockFormat;
use super::marker::Marker;
use crate::airgap::wanted::WantedProject;

/// What a lock says of itself; nothing said is everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    pub requires_python: Option<VersionSpecifiers>,
    /// Holds in one of its environments.
    pub environments: Option<Marker>,
}

impl Coverage {
    /// Adds it to what a package of the lock says of itself.
    pub fn restrict(&self, wanted: &mut WantedProject) {
        let own = wanted.requires_python.take();
        let mut both = Vec::new();
        for specifiers in [&own, &self.requires_python].into_iter().flatten() {
            both.extend(specifiers.iter().cloned());
        }
        if !both.is_empty() {
            wanted.requires_python = Some(both.into_iter().collect());
        }
        wanted.marker = Marker::all([self.environments.clone(), wanted.marker.take()]);
    }
}

/// The few keys, under all the names that the formats have for them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct CoverageKeys {
    requires_python: Option<String>,
    /// Of pylock.toml.
    environments: Vec<String>,
    /// Of uv.lock: what the project restricts itself to, and the parts of a forked resolution.
    supported_markers: Vec<String>,
    resolution_markers: Vec<String>,
    metadata: CoverageMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CoverageMetadata {
    /// Of poetry.lock.
    #[serde(rename = "python-versions")]
    python_versions: Option<String>,
    /// Of pdm.lock.
    targets: Vec<PdmTarget>,
}

#[derive(Deserialize)]
struct PdmTarget {
    requires_python: Option<String>,
    platform: Option<String>,
    implementation: Option<String>,
}

#[derive(Deserialize)]
struct PipfileCoverage {
    #[serde(rename = "_meta")]
    meta: PipfileCoverageMeta,
}

#[derive(Deserialize)]
struct PipfileCoverageMeta {
    #[serde(default)]
    requires: PipfileRequires,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PipfileRequires {
    python_version: Option<String>,
    python_full_version: Option<String>,
}

/// How the platforms of pdm.lock begin, and their `sys_platform`.
const PDM_PLATFORMS: [(&str, &str); 6] = [
    ("linux", "linux"),
    ("manylinux", "linux"),
    ("musllinux", "linux"),
    ("alpine", "linux"),
    ("win", "win32"),
    ("macos", "darwin"),
];

/// What a lock is for.
///
/// # Errors
/// Text that is not of its format, a marker that is none.
pub fn coverage(name: &str, text: &str) -> Result<Coverage, LockError> {
    let text = text.trim_start_matches('\u{feff}');
    match LockFormat::of(name, text)? {
        LockFormat::Requirements => return Ok(Coverage::default()),
        LockFormat::Pipfile => return of_pipfile(name, text),
        LockFormat::Uv | LockFormat::Pylock | LockFormat::Poetry | LockFormat::Pdm => {}
    }
    let lock: CoverageKeys = contents::from_toml(name, text)?;
    let requires = lock.requires_python.or(lock.metadata.python_versions);
    let mut all = Vec::new();
    for alternatives in [
        &lock.environments,
        &lock.supported_markers,
        &lock.resolution_markers,
    ] {
        all.push(Marker::any(contents::markers(alternatives, name)?));
    }
    let mut targets = Vec::new();
    for target in &lock.metadata.targets {
        targets.push(Marker::all(contents::markers(&target.conditions(), name)?));
    }
    all.push(Marker::any(targets));
    Ok(Coverage {
        requires_python: contents::requires_python(requires.as_deref()),
        environments: Marker::all(all),
    })
}

fn of_pipfile(name: &str, text: &str) -> Result<Coverage, LockError> {
    let lock: PipfileCoverage = contents::from_json(name, text)?;
    let requires = lock.meta.requires;
    let text = match (requires.python_full_version, requires.python_version) {
        (Some(version), _) => Some(format!("=={version}")),
        (None, Some(version)) => Some(format!("=={version}.*")),
        (None, None) => None,
    };
    Ok(Coverage {
        requires_python: contents::requires_python(text.as_deref()),
        environments: None,
    })
}

impl PdmTarget {
    /// As markers that all hold; a platform that is not known to be of one system restricts
    /// nothing.
    fn conditions(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(specifiers) = contents::requires_python(self.requires_python.as_deref()) {
            for specifier in specifiers.iter() {
                let text = specifier.to_string();
                let version = text.trim_start_matches(|c: char| !c.is_ascii_digit());
                let operator = specifier.operator();
                parts.push(format!("python_full_version {operator} '{version}'"));
            }
        }
        let platform = self.platform.as_deref().unwrap_or_default();
        let mut known = PDM_PLATFORMS.iter();
        if let Some((_, system)) = known.find(|(prefix, _)| platform.starts_with(prefix)) {
            parts.push(format!("sys_platform == '{system}'"));
        }
        if let Some(name) = &self.implementation {
            parts.push(format!("implementation_name == '{name}'"));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_says_what_it_is_for() {
        let poetry = "[metadata]\nlock-version = \"2.1\"\npython-versions = \">=3.9,<3.13\"\n";
        let pdm = "[metadata]\nlock_version = \"4.5.1\"\n[[metadata.targets]]\nrequires_python = \">=3.9,!=3.10.*\"\n\
                   platform = \"manylinux_2_17_x86_64\"\nimplementation = \"cpython\"\n";
        let uv = "version = 1\nrequires-python = \">=3.9\"\nsupported-markers = [\"sys_platform == 'linux'\", \"sys_platform == 'win32'\"]\n";
        let pylock = "lock-version = \"1.0\"\nrequires-python = \">=3.9\"\nenvironments = [\"os_name == 'nt'\"]\n";
        let pipfile = r#"{"_meta": {"pipfile-spec": 6, "requires": {"python_version": "3.11"}}}"#;
        for (name, text, requires, environments) in [
            ("poetry.lock", poetry, Some(">=3.9, <3.13"), None),
            (
                "pdm.lock",
                pdm,
                None,
                Some(
                    "python_full_version >= '3.9' and python_full_version != '3.10.*' and sys_platform == 'linux' and \
                     implementation_name == 'cpython'",
                ),
            ),
            (
                "uv.lock",
                uv,
                Some(">=3.9"),
                Some("sys_platform == 'linux' or sys_platform == 'win32'"),
            ),
            (
                "pylock.toml",
                pylock,
                Some(">=3.9"),
                Some("os_name == 'nt'"),
            ),
            ("Pipfile.lock", pipfile, Some("==3.11.*"), None),
            ("requirements.txt", "a==1\n", None, None),
        ] {
            let found = coverage(name, text).unwrap();
            assert_eq!(
                found
                    .requires_python
                    .map(|text| text.to_string())
                    .as_deref(),
                requires,
                "{name}"
            );
            assert_eq!(
                found
                    .environments
                    .map(|marker| marker.to_string())
                    .as_deref(),
                environments,
                "{name}"
            );
        }
    }
}
