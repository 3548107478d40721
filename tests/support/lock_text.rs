//! Small lock files of every format, written as their tools write them.

use super::wheel::Artifact;

pub const FORMATS: [Format; 5] = [
    Format::Uv,
    Format::Pylock,
    Format::Poetry,
    Format::Pdm,
    Format::Pipfile,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Uv,
    Pylock,
    Poetry,
    Pdm,
    Pipfile,
}

/// A package that is locked to its files.
pub struct Locked<'a> {
    pub files: Vec<&'a Artifact>,
    /// `main`, or a group beside it.
    pub group: &'static str,
    /// Empty: everywhere.
    pub marker: &'static str,
}

impl<'a> Locked<'a> {
    pub fn new(files: impl IntoIterator<Item = &'a Artifact>) -> Self {
        Self {
            files: files.into_iter().collect(),
            group: "main",
            marker: "",
        }
    }

    pub fn in_group(self, group: &'static str) -> Self {
        Self { group, ..self }
    }

    pub fn where_(self, marker: &'static str) -> Self {
        Self { marker, ..self }
    }

    fn name(&self) -> &str {
        &self.files.first().expect("a file").name
    }

    fn version(&self) -> &str {
        &self.files.first().expect("a file").version
    }

    fn marker(&self, key: &str) -> String {
        if self.marker.is_empty() {
            String::new()
        } else {
            format!("{key} = \"{}\"\n", self.marker)
        }
    }

    fn edge(&self) -> String {
        let marker = if self.marker.is_empty() {
            String::new()
        } else {
            format!(", marker = \"{}\"", self.marker)
        };
        format!("{{ name = \"{}\"{marker} }}", self.name())
    }
}

impl Format {
    pub fn filename(self) -> &'static str {
        match self {
            Self::Uv => "uv.lock",
            Self::Pylock => "pylock.toml",
            Self::Poetry => "poetry.lock",
            Self::Pdm => "pdm.lock",
            Self::Pipfile => "Pipfile.lock",
        }
    }

    /// The lock of a project that is for this minor release of Python and later; Pipfile.lock: for
    /// it alone.
    pub fn lock(self, minor: u8, packages: &[Locked<'_>]) -> String {
        match self {
            Self::Uv => uv(minor, packages),
            Self::Pylock => pylock(minor, packages),
            Self::Poetry => poetry(minor, packages),
            Self::Pdm => pdm(minor, packages),
            Self::Pipfile => pipfile(minor, packages),
        }
    }
}

fn groups<'p, 'a>(
    packages: &'p [Locked<'a>],
) -> impl Iterator<Item = (&'static str, Vec<&'p Locked<'a>>)> {
    let names: std::collections::BTreeSet<&str> =
        packages.iter().map(|package| package.group).collect();
    names.into_iter().map(|name| {
        (
            name,
            packages
                .iter()
                .filter(|package| package.group == name)
                .collect(),
        )
    })
}

fn uv(minor: u8, packages: &[Locked<'_>]) -> String {
    let edges = |of: &[&Locked<'_>]| {
        of.iter()
            .map(|package| package.edge())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = format!(
        "version = 1\nrevision = 3\nrequires-python = \">=3.{minor}\"\n\n[[package]]\nname = \"forge\"\nversion = \"0.1.0\"\n\
         source = {{ virtual = \".\" }}\n"
    );
    let mut tables = String::from("\n[package.dev-dependencies]\n");
    for (group, of) in groups(packages) {
        match group {
            "main" => text.push_str(&format!("dependencies = [{}]\n", edges(&of))),
            group => tables.push_str(&format!("{group} = [{}]\n", edges(&of))),
        }
    }
    text.push_str(&tables);
    for package in packages {
        let file = |file: &&Artifact| {
            format!(
                "{{ url = \"http://files.example/a/{}\", hash = \"sha256:{}\" }}",
                file.filename, file.sha256
            )
        };
        let wheels: Vec<String> = package
            .files
            .iter()
            .filter(|file| file.filename.ends_with(".whl"))
            .map(file)
            .collect();
        let sdist = package
            .files
            .iter()
            .find(|file| !file.filename.ends_with(".whl"))
            .map(file);
        let sdist = sdist
            .map(|sdist| format!("sdist = {sdist}\n"))
            .unwrap_or_default();
        text.push_str(&format!(
            "\n[[package]]\nname = \"{}\"\nversion = \"{}\"\nsource = {{ registry = \"http://index.example/simple/\" }}\n{sdist}\
             wheels = [{}]\n",
            package.name(),
            package.version(),
            wheels.join(", ")
        ));
    }
    text
}

fn pylock(minor: u8, packages: &[Locked<'_>]) -> String {
    let names: Vec<String> = groups(packages)
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    let mut text = format!(
        "lock-version = \"1.0\"\nrequires-python = \">=3.{minor}\"\ndependency-groups = [{}]\ndefault-groups = [\"main\"]\n",
        names.join(", ")
    );
    for package in packages {
        let chosen = format!("'{}' in dependency_groups", package.group);
        let marker = if package.marker.is_empty() {
            chosen
        } else {
            format!("({}) and {chosen}", package.marker)
        };
        text.push_str(&format!(
            "\n[[packages]]\nname = \"{}\"\nversion = \"{}\"\nmarker = \"{marker}\"\n",
            package.name(),
            package.version()
        ));
        for file in &package.files {
            let key = if file.filename.ends_with(".whl") {
                "[packages.wheels]"
            } else {
                "packages.sdist"
            };
            text.push_str(&format!(
                "[{key}]\nname = \"{}\"\nhashes = {{ sha256 = \"{}\" }}\n",
                file.filename, file.sha256
            ));
        }
    }
    text
}

fn files(package: &Locked<'_>) -> String {
    let file = |file: &&Artifact| {
        format!(
            "{{file = \"{}\", hash = \"sha256:{}\"}}",
            file.filename, file.sha256
        )
    };
    package
        .files
        .iter()
        .map(file)
        .collect::<Vec<_>>()
        .join(", ")
}

fn poetry(minor: u8, packages: &[Locked<'_>]) -> String {
    let mut text = String::new();
    for package in packages {
        text.push_str(&format!(
            "[[package]]\nname = \"{}\"\nversion = \"{}\"\noptional = false\npython-versions = \"*\"\ngroups = [\"{}\"]\n{}files = [{}]\n\n",
            package.name(),
            package.version(),
            package.group,
            package.marker("markers"),
            files(package)
        ));
    }
    format!("{text}[metadata]\nlock-version = \"2.1\"\npython-versions = \">=3.{minor}\"\n")
}

fn pdm(minor: u8, packages: &[Locked<'_>]) -> String {
    let mut text = format!(
        "[metadata]\nlock_version = \"4.5.1\"\nstrategy = [\"inherit_metadata\"]\n\n[[metadata.targets]]\nrequires_python = \">=3.{minor}\"\n"
    );
    for package in packages {
        let group = if package.group == "main" {
            "default"
        } else {
            package.group
        };
        text.push_str(&format!(
            "\n[[package]]\nname = \"{}\"\nversion = \"{}\"\ngroups = [\"{group}\"]\n{}files = [{}]\n",
            package.name(),
            package.version(),
            package.marker("marker"),
            files(package)
        ));
    }
    text
}

fn pipfile(minor: u8, packages: &[Locked<'_>]) -> String {
    let mut lock = serde_json::json!({
        "_meta": {"pipfile-spec": 6, "requires": {"python_version": format!("3.{minor}")}, "sources": []},
    });
    for package in packages {
        let category = match package.group {
            "main" => "default",
            "dev" => "develop",
            other => other,
        };
        let hashes: Vec<String> = package
            .files
            .iter()
            .map(|file| format!("sha256:{}", file.sha256))
            .collect();
        lock[category][package.name()] = serde_json::json!({
            "version": format!("=={}", package.version()), "hashes": hashes, "markers": package.marker,
        });
    }
    lock.to_string()
}
