//! The commands about the daemon itself: `about`, `configuration`, `auth-flush`, `log-level`, `refresh`, and what is
//! told while they are carried out.
//!
//! Each event is a JSON object; a command line with `--json` shows it as it is. No credential is
//! part of a command: the one with which pages are asked for comes in the fields of the request, as
//! a client sends it. Must not know how anything is done.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::command::Command;
use super::named::Named;
use crate::simple::FileChange;

/// Asks the daemon which it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {}

impl Command for About {
    const NAME: &'static str = "about";
    type Event = Identity;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub version: String,
    /// The process's number.
    pub process: u32,
}

/// Asks for the configuration in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowConfiguration {}

impl Command for ShowConfiguration {
    const NAME: &'static str = "configuration";
    type Event = ConfigurationInForce;
}

/// Names files, and holds nothing of what is in them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationInForce {
    /// The process's number.
    pub process: u32,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// The addresses where clients come in; none of a daemon inside a command.
    pub opened: Vec<String>,
    /// As a configuration is written.
    pub configuration: Value,
    /// Where each value came from, by its dotted key.
    pub sources: Value,
}

/// Forgets GitLab's decision about every caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlushAuthorizations {}

impl Command for FlushAuthorizations {
    const NAME: &'static str = "auth-flush";
    type Event = FlushedAuthorizations;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushedAuthorizations {
    /// How many authorizations were remembered, roughly. A caller may have several.
    pub authorizations: u64,
}

/// Changes which lines are logged, until the daemon reads its configuration again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLogLevel {
    /// As `log.level`; without it nothing is changed.
    pub level: Option<String>,
}

impl Command for SetLogLevel {
    const NAME: &'static str = "log-level";
    type Event = LogLevelNow;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevelNow {
    pub level: String,
}

/// Asks for pages again, or sees to it that they are asked for before they are shown again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    pub what: Named,
}

impl Command for Refresh {
    const NAME: &'static str = "refresh";
    type Event = Refreshed;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Refreshed {
    /// One file of the page that is told of next.
    File {
        page: String,
        filename: String,
        #[serde(flatten)]
        change: FileChange,
    },
    Page {
        page: String,
        #[serde(flatten)]
        end: PageRefresh,
    },
}

/// What became of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PageRefresh {
    /// Nothing of what is looked at is different.
    Unchanged {
        files: u64,
    },
    Changed {
        files: u64,
    },
    /// There was nothing to compare it with.
    New {
        files: u64,
    },
    /// Larger than what is kept: it is asked for each time anyway.
    TooLarge,
    /// Not asked for now, because there was no credential to do it with: the next caller's request
    /// asks.
    Marked,
    /// Upstream's own word.
    Refused {
        status: u16,
    },
    /// A sentence; what was there before stays.
    Failed {
        why: String,
    },
}

impl PageRefresh {
    /// Whether what is shown next is upstream's present word, or will be.
    pub fn is_well(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Failed { .. })
    }
}
