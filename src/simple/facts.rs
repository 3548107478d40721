//! What a page says about itself rather than about its entries.
//!
//! Owns the version (PEP 629, PEP 691 `meta.api-version`) and the project's status (PEP 792). Must
//! not know how either is written.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The one major version that larder speaks.
const MAJOR: u32 = 1;

/// HTML ends here; what came later exists in JSON only (PEP 833).
const HTML_MINOR_MAX: u32 = 4;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageFacts {
    /// As the page has it.
    pub version: Option<String>,
    pub status: Option<ProjectStatus>,
}

/// The status of a project, a word of its index (PEP 792).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProjectStatus {
    /// `active`, `archived`, `quarantined`, `deprecated`, or a word that is not yet known.
    pub status: String,
    #[serde(default)]
    pub reason: Option<String>,
}

impl ProjectStatus {
    /// As PEP 792 writes it in JSON.
    pub(super) fn to_json(&self) -> Value {
        let mut table = Map::new();
        table.insert("status".to_owned(), self.status.as_str().into());
        if let Some(reason) = &self.reason {
            table.insert("reason".to_owned(), reason.as_str().into());
        }
        table.into()
    }
}

/// A version of the Simple API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim_ascii().split_once('.')?;
        let number = |text: &str| {
            if text.starts_with('+') {
                return None;
            }
            text.parse().ok()
        };
        Some(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }

    /// A reader must refuse the others (PEP 629).
    pub fn is_spoken(self) -> bool {
        self.major == MAJOR
    }

    /// What HTML that is made from such a page may call itself.
    pub fn of_html(self) -> String {
        format!("{MAJOR}.{}", self.minor.min(HTML_MINOR_MAX))
    }
}

impl PageFacts {
    pub fn api_version(&self) -> Option<ApiVersion> {
        ApiVersion::parse(self.version.as_deref()?)
    }

    /// Whether the page is of a version that a reader must refuse (PEP 629).
    pub fn is_unspoken(&self) -> bool {
        match self.api_version() {
            Some(version) => !version.is_spoken(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_capped() {
        let table = [
            ("1.0", Some((true, "1.0"))),
            ("1.4", Some((true, "1.4"))),
            ("1.12", Some((true, "1.4"))),
            ("2.0", Some((false, "1.0"))),
            ("1", None),
            ("1.x", None),
            ("1.+1", None),
            ("", None),
        ];
        for (text, expected) in table {
            let read =
                ApiVersion::parse(text).map(|version| (version.is_spoken(), version.of_html()));
            assert_eq!(
                read,
                expected.map(|(spoken, html)| (spoken, html.to_owned())),
                "{text}"
            );
        }
    }
}
