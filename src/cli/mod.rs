//! The command line.
//!
//! Owns the arguments and what commands print. Must not know how the daemon is put together: a command is handed what
//! it needs.

mod address;
mod bytes;
mod completions;
mod config;
mod doctor;
mod explain;
mod export;
mod gc;
mod ground;
mod health;
mod import;
mod lines;
mod log_level;
mod ls;
mod man;
mod progress;
mod purge;
mod refresh;
mod revoke;
mod rewrite_lock;
mod serve;
mod stats;
mod verify;
mod warm;

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

use crate::values::version::version;

pub use bytes::in_units;
pub use completions::{CompletionsArguments, completions};
pub use config::{ConfigCommand, ConfigInitArguments, ConfigShowArguments, config_init};
pub use doctor::{DoctorArguments, Patient, Ways, doctor};
pub use explain::{ExplainArguments, Told, explain};
pub use export::{ExportArguments, export};
pub use gc::{GcArguments, gc};
pub use ground::Ground;
pub use health::{HealthArguments, health};
pub use import::{ImportArguments, import};
pub use lines::{CommandError, json_line, say};
pub use log_level::{LogLevelArguments, log_level};
pub use ls::{LsArguments, ls};
pub use man::{ManArguments, man};
pub use progress::HowFar;
pub use purge::{PurgeArguments, purge};
pub use refresh::{RefreshArguments, refresh};
pub use revoke::{RevokeArguments, revoke};
pub use rewrite_lock::{RewriteLockArguments, RewrittenLock, rewrite_lock};
pub use serve::banner;
pub use stats::{StatsArguments, stats};
pub use verify::{VerifyArguments, verify};
pub use warm::{Prepared, WarmArguments, prepare, record, warm};

/// A read-through cache in front of a GitLab PyPI registry: streamed, verified, by the caller's own rights.
#[derive(Debug, Parser)]
#[command(name = "larder", version = env!("CARGO_PKG_VERSION"), long_version = long_version())]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub everywhere: Everywhere,
}

/// With the commit, where the builder told it.
fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(version);
    &TEXT
}

#[derive(Debug, Args)]
pub struct Everywhere {
    /// Cache folder.
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Serve(ServeArguments),
    /// Check the configuration and the files it names, and say what is wrong with them.
    CheckConfig,
    /// Say how an address is answered, and from what.
    Explain(ExplainArguments),
    /// Fetch what lock files or requirements name, so that it is here when it is needed.
    Warm(Box<WarmArguments>),
    /// Make the URLs in a lock file lead to larder, or back to where they led before.
    RewriteLock(RewriteLockArguments),
    /// Write what is held, or a set of it, into a bundle that another larder imports.
    Export(ExportArguments),
    /// Check a bundle and take it in.
    Import(ImportArguments),
    /// Say what the store holds.
    Stats(StatsArguments),
    /// List the files that are known, by project.
    Ls(LsArguments),
    /// Hash everything again; set aside what is wrong.
    Verify(VerifyArguments),
    /// Remove what nobody needs.
    Gc(GcArguments),
    /// Remove a project, an address, a sha256, or everything.
    Purge(PurgeArguments),
    /// Look for what is wrong, or will be: configuration, disk, limits, clock, and each upstream.
    Doctor(DoctorArguments),
    /// Ask for a project's pages again now, and say what changed.
    Refresh(RefreshArguments),
    /// Make a running daemon forget every caller's rights: each next request asks GitLab.
    Revoke(RevokeArguments),
    /// Show or change what a running daemon logs.
    LogLevel(LogLevelArguments),
    /// Say whether the daemon is ready.
    Health(HealthArguments),
    /// Look at the configuration, or begin one.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print what a shell needs to complete these commands.
    Completions(CompletionsArguments),
    /// Print the manual, or write its pages.
    Man(ManArguments),
}

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where to listen: an address and port, or unix:/PATH of a socket; may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// The GitLab in front of which to stand.
    #[arg(long, value_name = "URL")]
    pub gitlab: Option<String>,
    /// Open no connection to anywhere: what is here is all there is.
    #[arg(long)]
    pub offline: bool,
}

/// What the command line says about the configuration. Absent means: as configured elsewhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overrides {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gitlab: Option<GitLabOverrides>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GitLabOverrides {
    pub url: String,
}

impl Cli {
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides {
            cache_dir: self.everywhere.cache_dir.clone(),
            ..Overrides::default()
        };
        match &self.command {
            Command::Serve(serve) => {
                overrides.listen.clone_from(&serve.listen);
                overrides.offline = serve.offline.then_some(true);
                overrides.gitlab = serve.gitlab.clone().map(|url| GitLabOverrides { url });
            }
            Command::Explain(explain) => {
                overrides.listen.extend(explain.listen.clone());
                overrides.offline = explain.offline.then_some(true);
            }
            _ => {}
        }
        overrides
    }
}
