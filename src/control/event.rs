//! The lines of a command's answer (`application/jsonl`).
//!
//! The last line says how it ended: an answer without one was cut, and is no success. Must not know
//! any order.

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<E> {
    Event(E),
    End(End),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Done,
    /// A sentence for a person.
    Failed(String),
    /// The daemon stops; what was done so far stays done.
    Stopped,
}
