//! The command about the shared store: `share`, and what is told while it is carried out.
//!
//! Each event is a JSON object; a command line with `--json` shows it as it is. Must not know how
//! anything is done.

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::named::Named;

/// Uploads files that are held to the shared store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Nothing means everything.
    pub what: Option<Named>,
}

impl Command for Share {
    const NAME: &'static str = "share";
    type Event = SharingEvent;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SharingEvent {
    /// An address whose file was not there, and is now.
    File { name: String, sha256: String },
    Summary {
        uploaded: u64,
        /// Files that were there already.
        present: u64,
        /// Files that went from the cache meanwhile.
        gone: u64,
    },
}
