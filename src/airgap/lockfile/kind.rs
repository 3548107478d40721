//! Which lock format a text is in: told by its name, else by its content.

use std::fmt;

use super::reading::LockError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Uv,
    Pylock,
    Poetry,
    Pdm,
    Pipfile,
    Requirements,
}

/// Files that a person may name by mistake, and what to do instead.
const UNLOCKED: [(&str, &str); 5] = [
    ("pyproject.toml", "lock it first, with `uv lock`, `poetry lock` or `pdm lock`, and name the lock file"),
    ("Pipfile", "lock it first, with `pipenv lock`, and name Pipfile.lock"),
    ("setup.py", "it is never executed: lock the project, and name the lock file"),
    ("setup.cfg", "lock the project, and name the lock file"),
    ("environment.yml", "larder carries Python packages only: export a requirements.txt"),
];

impl Kind {
    /// # Errors
    /// A file that is known to lock nothing.
    pub fn of(name: &str, text: &str) -> Result<Self, LockError> {
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        if let Some((_, instead)) = UNLOCKED.iter().find(|(unlocked, _)| *unlocked == last) {
            return Err(LockError::new(name, format!("not a lock file: {instead}")));
        }
        let pylock = last == "pylock.toml" || (last.starts_with("pylock.") && last.ends_with(".toml"));
        Ok(match last {
            "uv.lock" => Self::Uv,
            "poetry.lock" => Self::Poetry,
            "pdm.lock" => Self::Pdm,
            "Pipfile.lock" => Self::Pipfile,
            _ if pylock => Self::Pylock,
            _ if last.ends_with(".txt") || last.ends_with(".in") => Self::Requirements,
            _ => Self::of_content(text),
        })
    }

    fn of_content(text: &str) -> Self {
        if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
            return Self::Pipfile;
        }
        let Ok(table) = text.parse::<toml::Table>() else { return Self::Requirements };
        let metadata = |key: &str| table.get("metadata").is_some_and(|metadata| metadata.get(key).is_some());
        if table.contains_key("lock-version") {
            Self::Pylock
        } else if metadata("lock-version") {
            Self::Poetry
        } else if metadata("lock_version") {
            Self::Pdm
        } else if table.contains_key("version") {
            Self::Uv
        } else {
            Self::Requirements
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uv => "uv.lock",
            Self::Pylock => "pylock.toml",
            Self::Poetry => "poetry.lock",
            Self::Pdm => "pdm.lock",
            Self::Pipfile => "Pipfile.lock",
            Self::Requirements => "requirements.txt",
        })
    }
}
