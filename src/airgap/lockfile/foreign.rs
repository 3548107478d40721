//! Files that a person may name by mistake: what each is, and what to do instead, in one sentence.

/// By the whole name.
const NAMES: [(&str, &str); 22] = [
    (
        "pyproject.toml",
        "not a lock file: lock it first, with `uv lock`, `poetry lock` or `pdm lock`, and name the lock file",
    ),
    (
        "Pipfile",
        "not a lock file: lock it first, with `pipenv lock`, and name Pipfile.lock",
    ),
    (
        "setup.py",
        "not a lock file, and it is never executed: lock the project, and name the lock file",
    ),
    (
        "setup.cfg",
        "not a lock file: lock the project, and name the lock file",
    ),
    ("environment.yml", CONDA),
    ("environment.yaml", CONDA),
    ("conda-lock.yml", CONDA_LOCK),
    ("conda-lock.yaml", CONDA_LOCK),
    ("meta.yaml", CONDA),
    ("pixi.toml", PIXI),
    ("pixi.lock", PIXI),
    ("Cargo.toml", OTHER_LANGUAGE),
    ("Cargo.lock", OTHER_LANGUAGE),
    ("package.json", OTHER_LANGUAGE),
    ("package-lock.json", OTHER_LANGUAGE),
    ("yarn.lock", OTHER_LANGUAGE),
    ("pnpm-lock.yaml", OTHER_LANGUAGE),
    ("Gemfile.lock", OTHER_LANGUAGE),
    ("composer.lock", OTHER_LANGUAGE),
    ("go.sum", OTHER_LANGUAGE),
    ("flake.lock", OTHER_LANGUAGE),
    ("uv.toml", "settings of uv, not a lock file: name uv.lock"),
];

/// By the end of the name.
const ENDINGS: [(&str, &str); 15] = [
    (".conda-lock.yml", CONDA_LOCK),
    (".whl", PACKAGE),
    (".tar.gz", PACKAGE),
    (".tgz", PACKAGE),
    (".tar.bz2", PACKAGE),
    (".tar.xz", PACKAGE),
    (".zip", PACKAGE),
    (".egg", PACKAGE),
    (
        ".conda",
        "a conda package: larder carries Python packages of a Python index only",
    ),
    (
        ".tar",
        "an archive, not a lock file: a bundle of larder's is taken in with `larder import`",
    ),
    (
        ".pex",
        "a pex, not a lock file: export what it was made of with `pex3 lock export`, and name the requirements file",
    ),
    (
        ".py",
        "a Python script, and it is never executed: lock it with `uv lock --script`, and name the .py.lock file",
    ),
    (
        ".ipynb",
        "a notebook, not a lock file: lock its project, and name the lock file",
    ),
    (".yml", YAML),
    (".yaml", YAML),
];

const CONDA: &str = "an environment of conda's, and larder carries Python packages of a Python index only: put those below `pip:` into a \
     requirements.txt, and name that";
const CONDA_LOCK: &str = "a lock file of conda-lock's, and larder carries Python packages of a Python index only: put the entries with `manager: \
     pip` into a requirements.txt, and name that";
const PIXI: &str = "a file of pixi's, and larder carries Python packages of a Python index only: put the `pypi` packages into a \
     requirements.txt, and name that";
const PEX: &str = "a lock file of pex or Pants: make a requirements file of it with `pex3 lock export`, and name that";
const OTHER_LANGUAGE: &str =
    "a lock file or manifest for another language than Python: larder carries Python packages only";
const PACKAGE: &str = "a package, not a lock file: to have it on the far side, upload it to GitLab, and name its project here, as in name==1.2";
const YAML: &str = "YAML, and no lock file for Python packages is: name uv.lock, pylock.toml, poetry.lock, pdm.lock, \
                    Pipfile.lock or a requirements file";
const JSON: &str = "JSON, and no Pipfile.lock: name uv.lock, pylock.toml, poetry.lock, pdm.lock, Pipfile.lock or a \
                    requirements file";

/// What a file of this name is, if it is known to be nothing that larder reads; `last` is without folders.
pub(super) fn by_name(last: &str) -> Option<&'static str> {
    let named = NAMES.iter().find(|(name, _)| *name == last);
    named
        .or_else(|| ENDINGS.iter().find(|(ending, _)| last.ends_with(ending)))
        .map(|(_, what)| *what)
}

/// The same by the first bytes.
pub(super) fn by_magic(bytes: &[u8]) -> Option<&'static str> {
    let magics: [(&[u8], &str); 4] = [
        (b"PK\x03\x04", PACKAGE),
        (b"\x1f\x8b", PACKAGE),
        (b"BZh", PACKAGE),
        (b"\xfd7zXZ", PACKAGE),
    ];
    magics
        .iter()
        .find(|(magic, _)| bytes.starts_with(magic))
        .map(|(_, what)| *what)
}

/// The same by JSON that is no Pipfile.lock.
pub(super) fn by_json(text: &str) -> Option<&'static str> {
    // Pants puts a comment before it.
    let body = text
        .lines()
        .skip_while(|line| line.trim_start().starts_with("//") || line.trim().is_empty());
    let body = body.collect::<Vec<_>>().join("\n");
    if !body.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let Ok(value) = serde_json::from_str::<serde_json::Value>(&body) else {
        return None;
    };
    let has = |key: &str| value.get(key).is_some();
    if has("_meta") {
        return None;
    }
    Some(if has("locked_resolves") {
        PEX
    } else if has("lockfileVersion") || has("dependencies") || has("devDependencies") {
        OTHER_LANGUAGE
    } else if has("install") && has("pip_version") {
        "a report of pip's, not a lock file: make one with `pip lock`, and name pylock.toml"
    } else if has("bomFormat") || has("spdxVersion") {
        "a list of materials, not a lock file: name the lock file that it was made of"
    } else {
        JSON
    })
}

/// The same by TOML.
pub(super) fn by_toml(table: &toml::Table) -> Option<&'static str> {
    let packages = table
        .get("package")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten();
    let mut sources = packages.filter_map(|package| package.get("source")?.as_str());
    if sources.any(|source| source.starts_with("registry+") || source.starts_with("git+")) {
        return Some(OTHER_LANGUAGE);
    }
    (table.contains_key("project") || table.contains_key("build-system"))
        .then(|| by_name("pyproject.toml"))
        .flatten()
}

/// The same by the lines of YAML that the tools write.
pub(super) fn by_yaml(text: &str) -> Option<&'static str> {
    let mut keys = text
        .lines()
        .filter(|line| !line.starts_with([' ', '#', '-', '\t']));
    let keys: Vec<&str> = keys
        .by_ref()
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    let has = |key: &str| keys.contains(&key);
    if has("environments") && has("packages") {
        Some(PIXI)
    } else if has("metadata") && has("package") {
        Some(CONDA_LOCK)
    } else if has("dependencies") && (has("channels") || has("name")) {
        Some(CONDA)
    } else {
        None
    }
}
