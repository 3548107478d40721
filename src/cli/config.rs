//! `larder config`: the configuration looked at, or begun.
//!
//! Must not know how it is loaded.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::check_config::remark_on_the_environment;
use super::in_force::config_in_force;
use super::output::{print, print_event, remark};
use super::{CommandError, CommandResult, Invocation};
use crate::app;

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
    changed: bool,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ConfigInitArguments {
    /// The file to write. One that is there is left alone.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// # Errors
/// Every fault of the configuration, or that a file is there already.
pub fn run(command: &ConfigCommand, invocation: &Invocation) -> CommandResult {
    match command {
        ConfigCommand::Show(arguments) => show(arguments, invocation)?,
        ConfigCommand::Init(arguments) => init(arguments)?,
    }
    Ok(0)
}

fn show(arguments: &ConfigShowArguments, invocation: &Invocation) -> Result<(), CommandError> {
    let found = config_in_force(invocation)?;
    let mut values = found.values;
    let followed = app::public_index_in_words(&found.config)?;
    for value in &mut values {
        if value.key == "gitlab.forward" {
            value.means.clone_from(&followed);
        }
    }
    remark_on_the_environment();
    remark(&format!("the configuration {}", found.whose));
    if let Some((found, advice)) = &found.remark {
        remark(&format!("warning: {found}: {advice}"));
    }
    for value in &values {
        if arguments.changed && !value.is_changed {
            continue;
        }
        print_event(value, arguments.json, |value| format!("{value}\n"))?;
    }
    Ok(())
}

/// Prints the example, or writes it into a new file that its owner alone can change.
fn init(arguments: &ConfigInitArguments) -> Result<(), CommandError> {
    let Some(path) = &arguments.file else {
        return Ok(print(EXAMPLE)?);
    };
    create(path).map_err(|why| CommandError::Refused(format!("{}: {why}", path.display())))
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
