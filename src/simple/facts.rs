//! What a page says about itself rather than about its entries.
//!
//! Owns the version (PEP 629, PEP 691 `meta.api-version`) and the project's status (PEP 792). Must
//! not know how either is written.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The one major version that larder speaks.
const MAJOR: u32 = 1;

/// The word of PEP 792 for a project of which nothing may be offered.
const QUARANTINED: &str = "quarantined";

/// What its index says of a project is shown to people up to here.
const REASON_CHARS_MAX: usize = 200;
const WORD_CHARS_MAX: usize = 40;

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
    /// Every label, for those who count by it.
    pub const LABELS: [&'static str; 5] =
        ["active", "archived", "deprecated", "quarantined", "other"];

    /// Whether its index says that nothing of it may be offered, however it spells the word.
    pub fn is_quarantined(&self) -> bool {
        self.status.trim().eq_ignore_ascii_case(QUARANTINED)
    }

    /// One of a closed set of words; a project whose index says nothing of it is active.
    pub fn label(status: Option<&Self>) -> &'static str {
        let Some(status) = status else {
            return "active";
        };
        let word = status.status.trim();
        for label in Self::LABELS {
            if word.eq_ignore_ascii_case(label) {
                return label;
            }
        }
        "other"
    }

    /// The reason as a line for people, if one is stated.
    pub fn reason_line(&self) -> Option<String> {
        let line = line_of(self.reason.as_deref()?, REASON_CHARS_MAX);
        if line.is_empty() { None } else { Some(line) }
    }

    /// The index's own word as a line for people; a project whose index says nothing of it is
    /// active.
    pub fn word_line(status: Option<&Self>) -> String {
        match status {
            Some(status) => line_of(&status.status, WORD_CHARS_MAX),
            None => "active".to_owned(),
        }
    }

    /// Bytes this takes in memory, roughly.
    pub fn weight(&self) -> usize {
        let reason = self.reason.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.status.len() + reason
    }

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

/// Bounded, in one line, and without what is not seen.
fn line_of(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for c in text.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if is_unseen(c) || (c == ' ' && (line.is_empty() || line.ends_with(' '))) {
            continue;
        }
        if count == chars_max {
            line.push('…');
            break;
        }
        line.push(c);
        count += 1;
    }
    line.truncate(line.trim_end().len());
    line
}

/// A character that is not seen itself, and changes what is: controls, and those that turn the
/// direction of text or have no width.
fn is_unseen(c: char) -> bool {
    let has_no_width = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || has_no_width || matches!(c, '\u{202a}'..='\u{202e}')
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

    fn status(word: &str, reason: &str) -> ProjectStatus {
        ProjectStatus {
            status: word.to_owned(),
            reason: Some(reason.to_owned()),
        }
    }

    #[test]
    fn statuses_have_a_closed_set_of_labels_and_one_of_them_refuses() {
        assert_eq!(ProjectStatus::label(None), "active");
        for (word, label) in [
            ("active", "active"),
            ("archived", "archived"),
            ("Deprecated", "deprecated"),
            ("quarantined", "quarantined"),
            (" Quarantined\n", "quarantined"),
            ("quarantine", "other"),
            ("", "other"),
        ] {
            let status = status(word, "");
            assert_eq!(ProjectStatus::label(Some(&status)), label, "{word:?}");
            assert_eq!(status.is_quarantined(), label == QUARANTINED, "{word:?}");
        }
    }

    #[test]
    fn a_reason_is_a_bounded_line() {
        let long = "x".repeat(900);
        for (reason, line) in [
            ("steals tokens", Some("steals tokens".to_owned())),
            (
                " a\r\n\tb\u{1b}[31m \u{202e}c ",
                Some("a b[31m c".to_owned()),
            ),
            (&long, Some(format!("{}…", "x".repeat(REASON_CHARS_MAX)))),
            (" \n\0", None),
            ("", None),
        ] {
            assert_eq!(
                status("quarantined", reason).reason_line(),
                line,
                "{reason:?}"
            );
        }
        assert_eq!(ProjectStatus::default().reason_line(), None);
    }

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
