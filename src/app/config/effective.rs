//! The values that count, each with where it came from: for people, and as JSON lines.
//!
//! Owns the words for a source. What stands before an `@` in a URL is never shown: it may be a
//! password. Must not know what a value means.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::{Figment, Metadata};
use serde::Serialize;
use serde_json::Value;

use super::dotted::flatten;
use super::environment::variable_of;
use super::value_lines::value_lines;

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    /// Dotted.
    pub key: String,
    pub value: Value,
    #[serde(flatten)]
    pub source: Source,
    /// What an empty value comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub means: Option<String>,
    /// Whether it is another one than the default.
    #[serde(skip)]
    pub is_changed: bool,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Source {
    Default,
    File {
        file: PathBuf,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
    },
    Environment {
        variable: String,
    },
    CommandLine,
    Other {
        name: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File {
                file,
                line: Some(line),
            } => write!(f, "in {}:{line}", file.display()),
            Self::File { file, line: None } => write!(f, "in {}", file.display()),
            Self::Environment { variable } => write!(f, "in the environment, {variable}"),
            Self::CommandLine => f.write_str("on the command line"),
            Self::Other { name } => f.write_str(name),
        }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({}", self.key, self.value, self.source)?;
        if let Some(means) = &self.means {
            write!(f, ": {means}")?;
        }
        f.write_str(")")
    }
}

/// Who wrote what: the layers, and the lines of the file among them.
pub(super) struct Sources<'a> {
    figment: &'a Figment,
    lines: BTreeMap<String, usize>,
}

impl<'a> Sources<'a> {
    /// Without the file, or when it cannot be read any more, there are no lines to tell.
    pub(super) fn new(figment: &'a Figment, file: Option<&Path>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the configuration's own file")]
        let text = file
            .and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default();
        Self {
            figment,
            lines: value_lines(&text),
        }
    }

    /// Of a dotted key.
    pub(super) fn of(&self, key: &str) -> Source {
        match self.figment.find_metadata(key) {
            Some(metadata) => self.source(key, metadata),
            None => Source::Default,
        }
    }

    pub(super) fn source(&self, key: &str, metadata: &Metadata) -> Source {
        match &metadata.source {
            Some(figment::Source::File(file)) => Source::File {
                file: file.clone(),
                line: self.lines.get(key).copied(),
            },
            Some(figment::Source::Code(_)) if metadata.name.contains("Overrides") => {
                Source::CommandLine
            }
            Some(figment::Source::Code(_)) => Source::Default,
            _ if metadata.name.contains("environment") => Source::Environment {
                variable: variable_of(key),
            },
            _ => Source::Other {
                name: metadata.name.to_string(),
            },
        }
    }

    /// All values, in the order of their keys.
    pub(super) fn effective(&self, values: &Value, defaults: &Value) -> Vec<Effective> {
        let mut all = Vec::new();
        flatten("", values, &mut all);
        let mut unwritten = Vec::new();
        flatten("", defaults, &mut unwritten);
        let defaults = BTreeMap::from_iter(unwritten);
        let mut effective = Vec::new();
        for (key, value) in all {
            let source = self.of(&key);
            effective.push(Effective {
                is_changed: source != Source::Default && defaults.get(&key) != Some(&value),
                source,
                key,
                value: shown(value),
                means: None,
            });
        }
        effective
    }
}

fn shown(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_secret(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(shown).collect()),
        other => other,
    }
}

/// A URL as it may be shown: what stands before an `@` may be a password.
pub(super) fn without_secret(url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    match url.rfind('@') {
        Some(at) if at >= after_scheme => format!("{}…{}", &url[..after_scheme], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let values = serde_json::json!({"proxy": {"url": "http://me:s3cret@proxy.example:3128", "list": ["https://s3cret@x/"]}});
        let figment = Figment::new();
        for effective in Sources::new(&figment, None).effective(&values, &Value::Null) {
            let text = format!(
                "{effective} {}",
                serde_json::to_string(&effective).unwrap_or_default()
            );
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
