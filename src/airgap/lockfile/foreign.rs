//! Files that a person may name by mistake: what each is, and what to do instead, in one sentence.

const PYPROJECT: &str = "not a lock file: lock it first, with `uv lock`, `poetry lock` or \
                         `pdm lock`, and name the lock file";
const CONDA: &str = "an environment of conda's, and larder carries Python packages of a Python \
                     index only: put those below `pip:` into a requirements.txt, and name that";
const CONDA_LOCK: &str = "a lock file of conda-lock's, and larder carries Python packages of a \
                          Python index only: put the entries with `manager: pip` into a \
                          requirements.txt, and name that";
const PIXI: &str = "a file of pixi's, and larder carries Python packages of a Python index only: \
                    put the `pypi` packages into a requirements.txt, and name that";
const PEX: &str = "a lock file of pex or Pants: make a requirements file of it with \
                   `pex3 lock export`, and name that";
const OTHER_LANGUAGE: &str = "a lock file or manifest for another language than Python: \
                              larder carries Python packages only";
const PACKAGE: &str = "a package, not a lock file: to have it on the far side, \
                       upload it to GitLab, and name its project here, as in name==1.2";
const YAML: &str = "YAML, and no lock file for Python packages is: name uv.lock, pylock.toml, \
                    poetry.lock, pdm.lock, Pipfile.lock or a requirements file";
const JSON: &str = "JSON, and no Pipfile.lock: name uv.lock, pylock.toml, poetry.lock, pdm.lock, \
                    Pipfile.lock or a requirements file";

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
        "a pex, not a lock file: export what it was made of with `pex3 lock export`, \
         and name the requirements file",
    ),
    (
        ".py",
        "a Python script, and it is never executed: lock it with `uv lock --script`, \
         and name the .py.lock file",
    ),
    (
        ".ipynb",
        "a notebook, not a lock file: lock its project, and name the lock file",
    ),
    (".yml", YAML),
    (".yaml", YAML),
];

/// What a file of this name is, if it is known to be nothing that larder reads; `last` is without
/// folders.
pub fn by_name(last: &str) -> Option<&'static str> {
    Some(match last {
        "pyproject.toml" => PYPROJECT,
        "Pipfile" => "not a lock file: lock it first, with `pipenv lock`, and name Pipfile.lock",
        "setup.py" => {
            "not a lock file, and it is never executed: lock the project, and name the lock file"
        }
        "setup.cfg" => "not a lock file: lock the project, and name the lock file",
        "environment.yml" | "environment.yaml" | "meta.yaml" => CONDA,
        "conda-lock.yml" | "conda-lock.yaml" => CONDA_LOCK,
        "pixi.toml" | "pixi.lock" => PIXI,
        "Cargo.toml" | "Cargo.lock" | "package.json" | "package-lock.json" | "yarn.lock" => {
            OTHER_LANGUAGE
        }
        "pnpm-lock.yaml" | "Gemfile.lock" | "composer.lock" | "go.sum" | "flake.lock" => {
            OTHER_LANGUAGE
        }
        "uv.toml" => "settings of uv, not a lock file: name uv.lock",
        _ => {
            let mut endings = ENDINGS.iter();
            endings.find(|(ending, _)| last.ends_with(ending))?.1
        }
    })
}

/// The same by the first bytes.
pub fn by_magic(bytes: &[u8]) -> Option<&'static str> {
    let magics: [&[u8]; 4] = [b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ"];
    if magics.iter().any(|magic| bytes.starts_with(magic)) {
        return Some(PACKAGE);
    }
    None
}

/// The same by JSON that is no Pipfile.lock.
pub fn by_json(text: &str) -> Option<&'static str> {
    // Pants puts a comment before it.
    let mut body = text.trim_start();
    while body.starts_with("//") {
        body = body.split_once('\n')?.1.trim_start();
    }
    if !body.starts_with(['{', '[']) {
        return None;
    }
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
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
pub fn by_toml(table: &toml::Table) -> Option<&'static str> {
    if let Some(toml::Value::Array(packages)) = table.get("package") {
        for package in packages {
            if let Some(toml::Value::String(source)) = package.get("source")
                && (source.starts_with("registry+") || source.starts_with("git+"))
            {
                return Some(OTHER_LANGUAGE);
            }
        }
    }
    if table.contains_key("project") || table.contains_key("build-system") {
        return Some(PYPROJECT);
    }
    None
}

/// The same by the lines of YAML that the tools write.
pub fn by_yaml(text: &str) -> Option<&'static str> {
    let mut keys = Vec::new();
    for line in text.lines() {
        if !line.starts_with([' ', '#', '-', '\t'])
            && let Some((key, _)) = line.split_once(':')
        {
            keys.push(key);
        }
    }
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
