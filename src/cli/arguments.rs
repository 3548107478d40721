//! The arguments of every command.
//!
//! Owns what can be said on the command line, and what of it overrides the configuration. Must not
//! run anything.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::audit::AuditArguments;
use super::auth::AuthCommand;
use super::check_config::CheckConfigArguments;
use super::completions::CompletionsArguments;
use super::config::ConfigCommand;
use super::doctor::DoctorArguments;
use super::explain::ExplainArguments;
use super::export::ExportArguments;
use super::gc::GcArguments;
use super::groups::with_groups;
use super::health::HealthArguments;
use super::import::ImportArguments;
use super::invocation::Invocation;
use super::log_level::LogLevelArguments;
use super::ls::LsArguments;
use super::man::ManArguments;
use super::purge::PurgeArguments;
use super::refresh::RefreshArguments;
use super::rewrite_lock::RewriteLockArguments;
use super::share::ShareArguments;
use super::stats::StatsArguments;
use super::verify::VerifyArguments;
use super::warm::WarmArguments;
use crate::app::config::{
    GitLabOverrides, LogOverrides, MirrorOverrides, Overrides, default_file, named_file,
};
use crate::values::version::version;

/// A read-through caching proxy in front of a GitLab PyPI registry: streamed, verified, with each
/// caller's own rights.
#[derive(Debug, Parser)]
#[command(name = "larder", version = env!("CARGO_PKG_VERSION"), long_version = long_version())]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Configuration file (TOML). Without it: that of `LARDER_CONFIG`, else
    /// `$XDG_CONFIG_HOME/larder/config.toml` or `~/.config/larder/config.toml`, else
    /// `/etc/larder/config.toml`, whichever is there first.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub everywhere: Everywhere,
}

/// `log.level` of `serve -v`: more of larder, and of its libraries what is always told.
const VERBOSE_LEVEL: &str = "info,larder=debug";

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
    /// Log more, at level debug; commands other than `serve` show the log of the daemon that works
    /// inside them while none runs.
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Serve(ServeArguments),
    /// Check the configuration and the files it names, and say what is wrong with them.
    CheckConfig(CheckConfigArguments),
    /// Explain how an address is answered, and from what.
    Explain(ExplainArguments),
    /// Download what lock files or requirements name into the cache.
    Warm(Box<WarmArguments>),
    /// Rewrite the URLs in a lock file to larder, or back.
    RewriteLock(RewriteLockArguments),
    /// Export what is cached, or a set of it, as a bundle that another larder imports.
    Export(ExportArguments),
    /// Verify a bundle and import it.
    Import(ImportArguments),
    /// Show what the store holds.
    Stats(StatsArguments),
    /// List the files that are known, by project.
    Ls(LsArguments),
    /// Name what of the cache, a set or lock files is known to be malware or vulnerable.
    Audit(AuditArguments),
    /// Hash every stored file again; quarantine what is damaged.
    Verify(VerifyArguments),
    /// Remove what nothing refers to, and what is over the budget.
    Gc(GcArguments),
    /// Remove a project, an address, a sha256, or everything.
    Purge(PurgeArguments),
    /// Diagnose configuration, disk, limits, clock, and each upstream.
    Doctor(DoctorArguments),
    /// Fetch a project's pages again now, and show what changed.
    Refresh(RefreshArguments),
    /// Upload what is cached to the shared store of the fleet.
    Share(ShareArguments),
    /// Manage the authorization cache of a running daemon.
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Renamed: `larder auth flush`.
    #[command(hide = true)]
    Revoke,
    /// Show or change what a running daemon logs.
    LogLevel(LogLevelArguments),
    /// Check whether the daemon is ready.
    Health(HealthArguments),
    /// Show the configuration, or create one.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell.
    Completions(CompletionsArguments),
    /// Print the manual, or write its pages.
    Man(ManArguments),
}

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where to listen: an address and port, or unix:/PATH of a socket; may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// URL of the GitLab to cache.
    #[arg(long, value_name = "URL")]
    pub gitlab: Option<String>,
    /// URL of a larder to ask in place of GitLab and of the mirrors it serves; may be repeated, for
    /// larders that stand in for each other.
    #[arg(long, value_name = "URL", conflicts_with = "gitlab")]
    pub parent: Vec<String>,
    /// Another index to cache, served under /NAME/simple/; may be repeated.
    #[arg(long, value_name = "NAME=URL", value_parser = mirror)]
    pub mirror: Vec<(String, String)>,
    /// Hard budget of the cache, as 50GiB.
    #[arg(long, value_name = "SIZE")]
    pub cache_size: Option<String>,
    /// Serve only what is stored, and open no connection to an upstream.
    #[arg(long)]
    pub offline: bool,
}

/// A mirror's name and the URL of its list of projects.
fn mirror(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=');
    let (name, url) =
        split.ok_or("NAME=URL is wanted, such as pypi=https://index.example/simple/")?;
    Ok((name.to_owned(), url.to_owned()))
}

impl Cli {
    /// What this process was started with. Ends it where that means nothing, or asks for help.
    pub fn of_process() -> Self {
        let matches = with_groups(Self::command()).get_matches();
        match Self::from_arg_matches(&matches) {
            Ok(cli) => cli,
            Err(why) => why.exit(),
        }
    }

    pub fn invocation(&self) -> Invocation {
        let mut overrides = Overrides {
            cache_dir: self.everywhere.cache_dir.clone(),
            ..Overrides::default()
        };
        match &self.command {
            Command::Serve(serve) => {
                overrides.listen.clone_from(&serve.listen);
                overrides.offline = serve.offline.then_some(true);
                for (name, url) in &serve.mirror {
                    let url = url.clone();
                    overrides
                        .mirrors
                        .insert(name.clone(), MirrorOverrides { url });
                }
                overrides.parent.clone_from(&serve.parent);
                overrides.gitlab = serve.gitlab.clone().map(|url| GitLabOverrides { url });
                overrides.cache_size.clone_from(&serve.cache_size);
            }
            Command::Explain(explain) => {
                overrides.listen.extend(explain.listen.clone());
                overrides.offline = explain.offline.then_some(true);
            }
            _ => {}
        }
        if self.everywhere.verbose {
            let level = VERBOSE_LEVEL.to_owned();
            overrides.log = Some(LogOverrides { level });
        }
        let named = self.config.clone().or_else(named_file);
        Invocation {
            is_named: named.is_some(),
            file: named.or_else(default_file),
            overrides,
            verbose: self.everywhere.verbose,
        }
    }
}
