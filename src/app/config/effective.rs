//! The values that count, each with where it came from: for people, and as JSON lines.
//!
//! Owns the words for a source. What stands before an `@` in a URL is never shown: it may be a
//! password. Must not know what a value means.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::{Figment, Metadata};
use serde::{Deserialize, Serialize};
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

/// Where the values came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// By dotted key; a key that is not here has its default.
    pub sources: BTreeMap<String, Source>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Source {
    Default,
    File {
        file: PathBuf,
        #[serde(default, skip_serializing_if = "Option::is_none")]
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

impl Source {
    /// Whether the file decides: it says the value, or leaves it at its default.
    pub fn is_of_file(&self) -> bool {
        matches!(self, Self::Default | Self::File { .. })
    }
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

    /// Of all values that are not at their defaults.
    pub(super) fn provenance(&self, values: &Value, file: Option<&Path>) -> Provenance {
        let mut all = Vec::new();
        flatten("", values, &mut all);
        let mut sources = BTreeMap::new();
        for (key, _) in all {
            let source = self.of(&key);
            if source != Source::Default {
                sources.insert(key, source);
            }
        }
        Provenance {
            file: file.map(Path::to_owned),
            sources,
        }
    }
}

/// All values, in the order of their keys.
pub(super) fn effective(
    values: &Value,
    defaults: &Value,
    provenance: &Provenance,
) -> Vec<Effective> {
    let mut all = Vec::new();
    flatten("", values, &mut all);
    let mut unwritten = Vec::new();
    flatten("", defaults, &mut unwritten);
    let defaults = BTreeMap::from_iter(unwritten);
    let mut effective = Vec::new();
    for (key, value) in all {
        let written = provenance.sources.get(&key).cloned();
        let source = written.unwrap_or(Source::Default);
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

/// A value as it may be shown.
pub(super) fn shown(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_secret(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(shown).collect()),
        Value::Object(table) => {
            let shown = |(key, value)| (key, shown(value));
            Value::Object(table.into_iter().map(shown).collect())
        }
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
        for effective in effective(&values, &Value::Null, &Provenance::default()) {
            let text = format!(
                "{effective} {}",
                serde_json::to_string(&effective).unwrap_or_default()
            );
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
