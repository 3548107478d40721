//! What is different about one file between two states of a project's page.
//!
//! Must not know where either state came from.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum FileChange {
    Added,
    Withdrawn,
    /// With the reason, which may be empty.
    Yanked {
        reason: String,
    },
    Unyanked,
    /// Another content under the same name.
    Replaced,
}
