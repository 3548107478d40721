//! What stands in the page's object beside the list.
//!
//! Owns the reading of `meta` and `project-status` (PEP 691, 792). Must not know how a page is taken
//! apart. Other keys pass unseen, `name` too: a page is known by its address.

use serde::Deserialize;

use super::error::JsonError;
use crate::simple::entry::Subject;
use crate::simple::facts::{PageFacts, ProjectStatus};

/// A key of the page that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Meta,
    Status,
    /// The list itself.
    List,
}

#[derive(Debug)]
pub(super) struct Top {
    list: &'static str,
    seen: Vec<Key>,
    pub(super) facts: PageFacts,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "api-version")]
    api_version: String,
}

#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    reason: Option<String>,
}

impl Top {
    pub(super) fn new(subject: &Subject) -> Self {
        let list = match subject {
            Subject::Index => "projects",
            Subject::Project(_) => "files",
        };
        Self {
            list,
            seen: Vec::new(),
            facts: PageFacts::default(),
        }
    }

    /// Which key this is, as written with its quotes; each may come once.
    pub(super) fn key(&mut self, raw: &[u8]) -> Result<Option<Key>, JsonError> {
        // A key that is no text to serde (half a surrogate pair) is none of ours.
        let text: Option<String> = serde_json::from_slice(raw).ok();
        let key = match text.as_deref() {
            Some("meta") => Key::Meta,
            Some("project-status") => Key::Status,
            Some(text) if text == self.list => Key::List,
            _ => return Ok(None),
        };
        if self.seen.contains(&key) {
            return Err(JsonError::Twice(self.name(key)));
        }
        self.seen.push(key);
        Ok(Some(key))
    }

    pub(super) fn name(&self, key: Key) -> &'static str {
        match key {
            Key::Meta => "meta",
            Key::Status => "project-status",
            Key::List => self.list,
        }
    }

    /// Takes in a value that was read whole.
    pub(super) fn value(&mut self, key: Key, raw: &[u8]) -> Result<(), JsonError> {
        let failed = |source| JsonError::Value {
            key: self.name(key),
            source,
        };
        match key {
            Key::Meta => {
                let meta: Meta = serde_json::from_slice(raw).map_err(failed)?;
                self.facts.version = Some(meta.api_version);
                if !self
                    .facts
                    .api_version()
                    .is_some_and(|version| version.is_spoken())
                {
                    return Err(JsonError::Version(
                        self.facts.version.take().unwrap_or_default(),
                    ));
                }
            }
            Key::Status => {
                // Something else than the standard's object says nothing, and passes.
                let status: Option<Status> = serde_json::from_slice(raw).ok();
                self.facts.status = status.map(|status| ProjectStatus {
                    status: status.status,
                    reason: status.reason,
                });
            }
            // The list is never whole: its elements are read one by one.
            Key::List => {}
        }
        Ok(())
    }

    /// The page has ended: it must have said what it is.
    pub(super) fn judge(&self) -> Result<(), JsonError> {
        let missing = [Key::Meta, Key::List]
            .into_iter()
            .find(|key| !self.seen.contains(key));
        missing.map_or(Ok(()), |key| Err(JsonError::Missing(self.name(key))))
    }
}
