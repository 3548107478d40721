//! What stands in the page's object beside the list.
//!
//! Owns the reading of `meta` and `project-status` (PEP 691, 792). Must not know how a page is
//! taken apart. Other keys pass unseen, `name` too: a page is known by its address.

use serde::Deserialize;
use serde_json::Value;

use super::error::JsonError;
use crate::simple::entry::PageSubject;
use crate::simple::facts::{ApiVersion, PageFacts, ProjectStatus};

/// A key of the page that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKey {
    Meta,
    Status,
    /// The list itself.
    List,
}

#[derive(Debug)]
pub struct Top {
    list: &'static str,
    seen: Vec<PageKey>,
    pub facts: PageFacts,
}

#[derive(Deserialize)]
struct MetaTable {
    #[serde(rename = "api-version")]
    api_version: String,
}

#[derive(Deserialize)]
struct StatusTable {
    status: String,
    #[serde(default)]
    reason: Value,
}

impl Top {
    pub fn new(subject: &PageSubject) -> Self {
        let list = match subject {
            PageSubject::Index => "projects",
            PageSubject::Project(_) => "files",
        };
        Self {
            list,
            seen: Vec::new(),
            facts: PageFacts::default(),
        }
    }

    /// Which key this is, as written with its quotes; each may come once.
    pub fn key(&mut self, raw: &[u8]) -> Result<Option<PageKey>, JsonError> {
        // A key that is no text to serde (half a surrogate pair) is none of ours.
        let text: Option<String> = serde_json::from_slice(raw).ok();
        let key = match text.as_deref() {
            Some("meta") => PageKey::Meta,
            Some("project-status") => PageKey::Status,
            Some(text) if text == self.list => PageKey::List,
            _ => return Ok(None),
        };
        if self.seen.contains(&key) {
            return Err(JsonError::Twice(self.name(key)));
        }
        self.seen.push(key);
        Ok(Some(key))
    }

    pub fn name(&self, key: PageKey) -> &'static str {
        match key {
            PageKey::Meta => "meta",
            PageKey::Status => "project-status",
            PageKey::List => self.list,
        }
    }

    /// Takes in a value that was read whole.
    pub fn value(&mut self, key: PageKey, raw: &[u8]) -> Result<(), JsonError> {
        match key {
            PageKey::Meta => {
                let meta: MetaTable = match serde_json::from_slice(raw) {
                    Ok(meta) => meta,
                    Err(source) => {
                        let key = self.name(key);
                        return Err(JsonError::Value { key, source });
                    }
                };
                match ApiVersion::parse(&meta.api_version) {
                    Some(version) if version.is_spoken() => {
                        self.facts.version = Some(meta.api_version);
                    }
                    _ => return Err(JsonError::Version(meta.api_version)),
                }
            }
            PageKey::Status => {
                // Something else than the standard's object says nothing, and passes; a reason that
                // is no text is none, and takes no status away.
                if let Ok(table) = serde_json::from_slice::<StatusTable>(raw) {
                    self.facts.status = Some(ProjectStatus {
                        status: table.status,
                        reason: table.reason.as_str().map(str::to_owned),
                    });
                }
            }
            // The list is never whole: its elements are read one by one.
            PageKey::List => {}
        }
        Ok(())
    }

    /// The page has ended: it must have said what it is.
    pub fn judge(&self) -> Result<(), JsonError> {
        for key in [PageKey::Meta, PageKey::List] {
            if !self.seen.contains(&key) {
                return Err(JsonError::Missing(self.name(key)));
            }
        }
        Ok(())
    }
}
