//! The arguments of every command.
//!
//! Owns what can be said on the command line, and what of it overrides the configuration. Must not run anything.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand};

use super::completions::CompletionsArguments;
use super::config::ConfigCommand;
use super::doctor::DoctorArguments;
use super::explain::ExplainArguments;
use super::export::ExportArguments;
use super::gc::GcArguments;
use super::health::HealthArguments;
use super::import::ImportArguments;
use super::invocation::Invocation;
use super::log_level::LogLevelArguments;
use super::ls::LsArguments;
use super::man::ManArguments;
use super::purge::PurgeArguments;
use super::refresh::RefreshArguments;
use super::revoke::RevokeArguments;
use super::rewrite_lock::RewriteLockArguments;
use super::stats::StatsArguments;
use super::verify::VerifyArguments;
use super::warm::WarmArguments;
use crate::app::config::{GitLabOverrides, Overrides};
use crate::values::version::version;

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

impl Cli {
    pub fn invocation(&self) -> Invocation {
        Invocation {
            file: self.config.clone(),
            overrides: self.overrides(),
        }
    }

    fn overrides(&self) -> Overrides {
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
