//! Arguments in, exit code out. Everything else is the library's.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use larder::cli::{Cli, run};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Without standard error there is no reader that could miss it.
            let _ = writeln!(std::io::stderr(), "larder: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
