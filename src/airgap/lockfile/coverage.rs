//! The machines that a lock is for as a whole: its Pythons, and its environments. Pure.
//!
//! Outside of them its tool refuses to install, whatever its packages say. Must not know any package.

use pep440_rs::VersionSpecifiers;
use serde::Deserialize;

use super::kind::Kind;
use super::marker::Marker;
use super::reading::{self, LockError};
use crate::airgap::wanted::Wanted;

/// What a lock says of itself; nothing said is everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    pub requires_python: Option<VersionSpecifiers>,
    /// Holds in one of its environments.
    pub environments: Option<Marker>,
}

impl Coverage {
    /// Adds it to what a package of the lock says of itself.
    pub fn restrict(&self, wanted: &mut Wanted) {
        let own = wanted.requires_python.take();
        let both = [&own, &self.requires_python]
            .into_iter()
            .flatten()
            .flat_map(|all| all.iter());
        wanted.requires_python =
            Some(both.cloned().collect()).filter(|all: &VersionSpecifiers| !all.is_empty());
        wanted.marker = Marker::all([self.environments.clone(), wanted.marker.take()]);
    }
}

/// The few keys, under all the names that the formats have for them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Lock {
    requires_python: Option<String>,
    /// Of pylock.toml.
    environments: Vec<String>,
    /// Of uv.lock: what the project restricts itself to, and the parts of a forked resolution.
    supported_markers: Vec<String>,
    resolution_markers: Vec<String>,
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    /// Of poetry.lock.
    #[serde(rename = "python-versions")]
    python_versions: Option<String>,
    /// Of pdm.lock.
    targets: Vec<PdmTarget>,
}

#[derive(Debug, Deserialize)]
struct PdmTarget {
    requires_python: Option<String>,
    platform: Option<String>,
    implementation: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Pipfile {
    #[serde(rename = "_meta")]
    meta: PipfileMeta,
}

#[derive(Debug, Deserialize)]
struct PipfileMeta {
    #[serde(default)]
    requires: PipfileRequires,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PipfileRequires {
    python_version: Option<String>,
    python_full_version: Option<String>,
}

/// What a lock is for.
///
/// # Errors
/// Text that is not of its format, a marker that is none.
pub fn coverage(name: &str, text: &str) -> Result<Coverage, LockError> {
    let text = text.trim_start_matches('\u{feff}');
    let kind = Kind::of(name, text)?;
    if kind == Kind::Requirements {
        return Ok(Coverage::default());
    }
    if kind == Kind::Pipfile {
        return of_pipfile(name, text);
    }
    let lock: Lock = toml::from_str(text).map_err(|why| LockError::of_toml(name, text, &why))?;
    let requires = lock
        .requires_python
        .as_deref()
        .or(lock.metadata.python_versions.as_deref());
    let forks = [
        &lock.environments,
        &lock.supported_markers,
        &lock.resolution_markers,
    ];
    let mut all = Vec::new();
    for alternatives in forks {
        all.push(any_of(alternatives, name)?);
    }
    let mut targets = Vec::new();
    for target in &lock.metadata.targets {
        let conditions = target.conditions();
        let conditions = conditions
            .iter()
            .map(|text| reading::marker(Some(text), name));
        targets.push(Marker::all(conditions.collect::<Result<Vec<_>, _>>()?));
    }
    // One that says nothing is everywhere.
    all.push(
        Some(targets)
            .filter(|targets| !targets.is_empty())
            .and_then(Marker::any),
    );
    Ok(Coverage {
        requires_python: reading::requires_python(requires),
        environments: Marker::all(all),
    })
}

fn any_of(alternatives: &[String], place: &str) -> Result<Option<Marker>, LockError> {
    let markers = alternatives
        .iter()
        .map(|text| reading::marker(Some(text), place));
    let markers = markers.collect::<Result<Vec<_>, _>>()?;
    Ok(if markers.is_empty() {
        None
    } else {
        Marker::any(markers)
    })
}

fn of_pipfile(name: &str, text: &str) -> Result<Coverage, LockError> {
    let lock: Pipfile = serde_json::from_str(text)
        .map_err(|why| LockError::new(&format!("{name}:{}", why.line()), why))?;
    let requires = lock.meta.requires;
    let full = requires
        .python_full_version
        .map(|version| format!("=={version}"));
    let text = full.or_else(|| {
        requires
            .python_version
            .map(|version| format!("=={version}.*"))
    });
    Ok(Coverage {
        requires_python: reading::requires_python(text.as_deref()),
        environments: None,
    })
}

impl PdmTarget {
    /// As markers that all hold; a platform that is not known to be of one system restricts nothing.
    fn conditions(&self) -> Vec<String> {
        let specifiers = reading::requires_python(self.requires_python.as_deref());
        let mut parts: Vec<String> = specifiers
            .iter()
            .flat_map(|all| all.iter())
            .map(|one| {
                format!(
                    "python_full_version {} '{}'",
                    one.operator(),
                    version_of(one)
                )
            })
            .collect();
        let platform = self.platform.as_deref().unwrap_or_default();
        let system = [
            ("linux", "linux"),
            ("manylinux", "linux"),
            ("musllinux", "linux"),
            ("alpine", "linux"),
            ("win", "win32"),
            ("macos", "darwin"),
        ]
        .iter()
        .find(|(prefix, _)| platform.starts_with(prefix));
        parts.extend(system.map(|(_, system)| format!("sys_platform == '{system}'")));
        parts.extend(
            self.implementation
                .as_deref()
                .map(|name| format!("implementation_name == '{name}'")),
        );
        parts
    }
}

/// `3.9`, and `3.9.*` where the operator has a star.
fn version_of(specifier: &pep440_rs::VersionSpecifier) -> String {
    let text = specifier.to_string();
    text.trim_start_matches(|c: char| !c.is_ascii_digit())
        .to_owned()
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
