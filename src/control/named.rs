//! What a command about the store is asked to work on, by name.
//!
//! Must not know who reads it of a command line, or what is done to it.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// A project, or a glob over projects' names; in one scope, or in every one.
    Project {
        scope: Option<String>,
        project: String,
    },
    /// `projects/42`, `groups/acme`, or a mirror's name.
    Scope(String),
    /// A path of larder's.
    Address(String),
    Sha256(String),
}
