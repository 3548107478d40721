//! Arguments in, exit code out. Everything else is the library's.

use std::io::Write;
use std::process::ExitCode;

use larder::cli::{Cli, run};

fn main() -> ExitCode {
    match run(&Cli::of_process()) {
        Ok(code) => ExitCode::from(code),
        // The reader of the output has heard enough, as with `| head`.
        Err(error) if error.is_closed_output() => ExitCode::from(error.exit_code()),
        Err(error) => {
            // Without standard error there is no reader that could miss it.
            let _ = writeln!(std::io::stderr(), "larder: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
