//! Which lock format a text is in: told by its name, else by its content.

use std::fmt;

use super::contents::LockError;
use super::foreign;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockFormat {
    Uv,
    Pylock,
    Poetry,
    Pdm,
    Pipfile,
    Requirements,
}

impl LockFormat {
    /// # Errors
    /// A file that is known to lock nothing.
    pub fn of(name: &str, text: &str) -> Result<Self, LockError> {
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        if let Some(what) = foreign::by_name(last) {
            return Err(LockError::new(name, what));
        }
        let is_pylock = last.starts_with("pylock.") && last.ends_with(".toml");
        Ok(match last {
            "uv.lock" => Self::Uv,
            "poetry.lock" => Self::Poetry,
            "pdm.lock" => Self::Pdm,
            "Pipfile.lock" => Self::Pipfile,
            _ if is_pylock => Self::Pylock,
            _ if last.ends_with(".txt") || last.ends_with(".in") => Self::Requirements,
            _ => return Self::of_content(text).map_err(|what| LockError::new(name, what)),
        })
    }

    fn of_content(text: &str) -> Result<Self, &'static str> {
        if let Some(what) = foreign::by_json(text) {
            return Err(what);
        }
        let body = text.trim_start_matches('\u{feff}').trim_start();
        if body.starts_with('{') {
            return Ok(Self::Pipfile);
        }
        let Ok(table) = text.parse::<toml::Table>() else {
            return match foreign::by_yaml(text) {
                Some(what) => Err(what),
                None => Ok(Self::Requirements),
            };
        };
        if let Some(what) = foreign::by_toml(&table) {
            return Err(what);
        }
        let metadata = table.get("metadata");
        let metadata = |key: &str| metadata.is_some_and(|table| table.get(key).is_some());
        Ok(if table.contains_key("lock-version") {
            Self::Pylock
        } else if metadata("lock-version") || metadata("content-hash") {
            Self::Poetry
        } else if metadata("lock_version") {
            Self::Pdm
        } else if table.contains_key("version") {
            Self::Uv
        } else {
            Self::Requirements
        })
    }
}

impl fmt::Display for LockFormat {
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
