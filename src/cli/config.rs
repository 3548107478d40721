//! `larder config`: the configuration looked at, or begun.
//!
//! Must not know how it is loaded.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::lines::say;

/// Every key with its default and what it means.
const EXAMPLE: &str = include_str!("../../config.example.toml");

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the effective values, each with where it came from.
    Show(ConfigShowArguments),
    /// Print a configuration to begin with, or write it into a file that is not there yet.
    Init(ConfigInitArguments),
}

#[derive(Debug, Args)]
pub struct ConfigShowArguments {
    /// Only what is not the default.
    #[arg(long)]
    pub changed: bool,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ConfigInitArguments {
    /// The file to write. One that is there is left alone.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Prints the example, or writes it into a new file that its owner alone can change.
///
/// # Errors
/// When there is such a file, or it cannot be written.
pub fn config_init(asked: &ConfigInitArguments) -> io::Result<()> {
    let Some(path) = &asked.file else {
        return say(EXAMPLE);
    };
    create(path).map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))
}

fn create(path: &Path) -> io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a file that the operator asked for; no part of the store"
    )]
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(EXAMPLE.as_bytes())
}
