//! The command line.
//!
//! Owns the arguments and what commands print. Must not know how the daemon is put together: a command is handed what
//! it needs.

mod explain;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

pub use explain::{Explain, Ground, Told, explain};
pub use serve::banner;

/// A read-through cache in front of a GitLab PyPI registry: streamed, verified, by the caller's own rights.
#[derive(Debug, Parser)]
#[command(name = "larder", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub everywhere: Everywhere,
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
    Serve(Serve),
    /// Check the configuration and the files it names, and say what is wrong with them.
    CheckConfig,
    /// Say how an address is answered, and from what.
    Explain(Explain),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the effective values, each with where it came from.
    Show,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// The GitLab in front of which to stand.
    #[arg(long, value_name = "URL")]
    pub gitlab: Option<String>,
}

/// What the command line says about the configuration. Absent means: as configured elsewhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gitlab: Option<GitLabOverrides>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GitLabOverrides {
    pub url: String,
}

impl Cli {
    pub fn overrides(&self) -> Overrides {
        let mut overrides =
            Overrides { cache_dir: self.everywhere.cache_dir.clone(), ..Overrides::default() };
        match &self.command {
            Command::Serve(serve) => {
                overrides.listen.clone_from(&serve.listen);
                overrides.gitlab = serve.gitlab.clone().map(|url| GitLabOverrides { url });
            }
            Command::Explain(explain) => overrides.listen.clone_from(&explain.listen),
            Command::CheckConfig | Command::Config(_) => {}
        }
        overrides
    }
}
