//! Arguments in, exit code out. Everything else is the library's.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use larder::cli::{self, Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(_) => cli::serve(&cli),
        _ => cli::run_command(&cli),
    };
    match done {
        Ok(code) => code,
        Err((code, why)) => {
            // Nobody is left to be told if this fails.
            let _ = writeln!(std::io::stderr(), "larder: {why}");
            ExitCode::from(code)
        }
    }
}
