//! The commands about the store: `stats`, `ls`, `verify`, `gc`, `purge`, and what is told while
//! they are carried out.
//!
//! Each event is a JSON object; a command line with `--json` shows it as it is. Times are whole
//! seconds since 1970. Must not know how anything is done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::named::Named;
use crate::values::awaited_parts::AwaitedParts;

/// Says what the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {}

impl Command for Stats {
    const NAME: &'static str = "stats";
    type Event = Totals;
}

/// So many of a kind, and their bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub count: u64,
    pub bytes: u64,
}

impl Amount {
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What the store holds. Bytes under one digest count once, as the first of file, page, metadata
/// that they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub files: Amount,
    pub pages: Amount,
    pub metadata: Amount,
    /// Bodies that nothing refers to; `gc` removes them.
    pub unreferenced: Amount,
    pub quarantine: Amount,
    /// Downloads under way.
    pub spool: Amount,
    /// Files of the index, and their bytes.
    pub index: Amount,
    /// Lines of the index that count no more.
    pub superseded_lines: u64,
    /// Files held by scope; one that two scopes hold counts in both.
    pub scopes: BTreeMap<String, Amount>,
    /// Bodies, whatever they are.
    pub stored_bytes: u64,
    pub budget_bytes: u64,
    pub oldest_use: Option<u64>,
    pub newest_use: Option<u64>,
    /// Split bundles that were imported in part.
    pub awaited_parts: Vec<AwaitedParts>,
    /// Files that are yet to be uploaded to the shared store.
    #[serde(default)]
    pub shared_store_queue: u64,
    /// Whether they are: not without a shared store that is written to.
    #[serde(default)]
    pub writes_shared_store: bool,
}

/// Lists the files that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ls {
    /// Nothing means everything.
    pub what: Option<Named>,
    /// Of these the files of one set.
    #[serde(default)]
    pub set: Option<String>,
}

impl Command for Ls {
    const NAME: &'static str = "ls";
    type Event = Listed;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub scope: String,
    /// By its file's name; a guess for old source distributions.
    pub project: String,
    pub filename: String,
    pub size: u64,
    pub sha256: String,
    /// The path that larder serves it under.
    pub address: String,
    /// Whether its bytes are here.
    pub is_held: bool,
    pub last_use: Option<u64>,
}

/// Hashes everything again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {}

impl Command for Verify {
    const NAME: &'static str = "verify";
    type Event = Verified;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Verified {
    /// So far.
    Progress {
        bodies: u64,
        of_bodies: u64,
        bytes: u64,
        of_bytes: u64,
    },
    /// These bytes were wrong, and are set aside; `addresses` lead to them and will be fetched
    /// again.
    Damaged {
        sha256: String,
        bytes: u64,
        addresses: Vec<String>,
    },
    /// This body had no bytes, as a power cut leaves pages, which are not synced; it is removed and
    /// comes again.
    Emptied {
        sha256: String,
        addresses: Vec<String>,
    },
    /// This file was recorded with another length than it has; the record is withdrawn.
    Misrecorded { address: String, sha256: String },
    /// So many lines of one of the index's files could not be read, and are cleared away; what they
    /// said is found out again.
    UnreadableLines { lines: u64 },
    /// The end.
    Summary {
        bodies: u64,
        bytes: u64,
        lines: u64,
        faults: u64,
    },
}

/// Removes what nothing needs any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gc {
    pub dry_run: bool,
}

impl Command for Gc {
    const NAME: &'static str = "gc";
    type Event = Cleared;
}

/// Something that was, or would be, removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Cleared {
    /// Bytes that nothing refers to.
    Unreferenced {
        sha256: String,
        bytes: u64,
    },
    /// Bytes that made way because the store was larger than its budget.
    OverBudget {
        sha256: String,
        bytes: u64,
    },
    /// A line of the index, and why it is needed no more.
    Line {
        name: String,
        why: String,
    },
    Summary(ClearedSummary),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearedSummary {
    pub dry_run: bool,
    pub unreferenced: Amount,
    pub over_budget: Amount,
    pub lines: u64,
    pub quarantine: Amount,
    /// Files of the index that were shortened, and bytes that this freed.
    pub index: Amount,
    /// What was left because the store was written all the time; another run will find a moment.
    pub skipped: u64,
}

/// Removes what is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    pub what: Purgeable,
    pub dry_run: bool,
    /// Takes back what the shared store says of these addresses too.
    #[serde(default)]
    pub shared: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purgeable {
    Named(Named),
    All,
}

impl Command for Purge {
    const NAME: &'static str = "purge";
    type Event = Purged;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Purged {
    /// An address about which nothing is known any more.
    Line { name: String, sha256: String },
    /// An address that stays, because the shared store may still say something of it.
    Kept {
        name: String,
        sha256: String,
        why: String,
    },
    /// Bytes to which no other address led.
    Body { sha256: String, bytes: u64 },
    /// Where GitLab's redirects lead, which they teach again.
    PublicIndex { url: String },
    Summary {
        dry_run: bool,
        lines: u64,
        bodies: Amount,
        shared: u64,
        skipped: u64,
        /// Addresses of which the shared store says nothing any more.
        #[serde(default)]
        taken_back: u64,
    },
}
