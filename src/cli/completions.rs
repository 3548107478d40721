//! `larder completions SHELL`: what a shell needs to complete larder's commands.
//!
//! Must not know any command: the definitions tell.

use std::io;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::output::print;

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell that completes.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for these definitions.
///
/// # Errors
/// When standard output does not take it.
pub fn run(arguments: &CompletionsArguments, mut definitions: Command) -> io::Result<u8> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut definitions, "larder", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
