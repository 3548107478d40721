//! The command line: each command's arguments, what it does, what it prints, and its exit code, in
//! a file of its name.
//!
//! Must not know how the daemon is put together.

mod arguments;
mod audit;
mod auth;
mod banner;
mod bytes;
mod check_config;
mod completions;
mod config;
mod daemon;
mod deadline;
mod doctor;
mod error;
mod explain;
mod export;
mod gc;
mod groups;
mod health;
mod import;
mod in_force;
mod invocation;
mod log_level;
mod ls;
mod man;
mod names;
mod output;
mod progress;
mod purge;
mod refresh;
mod rewrite_lock;
mod serve;
mod share;
mod socket_units;
mod stats;
mod verify;
mod warm;

use clap::CommandFactory;

pub use arguments::{Cli, Command};
pub use error::{CommandError, CommandResult};
pub use invocation::Invocation;

/// Runs a command to its end; its exit code.
///
/// # Errors
/// Why it did not come to its end.
pub fn run(cli: &Cli) -> CommandResult {
    let invocation = &cli.invocation();
    match &cli.command {
        Command::Serve(_) => serve::run(invocation),
        Command::CheckConfig(arguments) => check_config::run(arguments, invocation),
        Command::Explain(arguments) => explain::run(arguments, invocation),
        Command::Warm(arguments) => warm::run(arguments, invocation),
        Command::RewriteLock(arguments) => rewrite_lock::run(arguments, invocation),
        Command::Export(arguments) => export::run(arguments, invocation),
        Command::Import(arguments) => import::run(arguments, invocation),
        Command::Stats(arguments) => stats::run(arguments, invocation),
        Command::Audit(arguments) => audit::run(arguments, invocation),
        Command::Ls(arguments) => ls::run(arguments, invocation),
        Command::Verify(arguments) => verify::run(arguments, invocation),
        Command::Gc(arguments) => gc::run(arguments, invocation),
        Command::Purge(arguments) => purge::run(arguments, invocation),
        Command::Doctor(arguments) => doctor::run(arguments, invocation),
        Command::Refresh(arguments) => refresh::run(arguments, invocation),
        Command::Share(arguments) => share::run(arguments, invocation),
        Command::Auth(command) => auth::run(command, invocation),
        Command::Revoke => Err(CommandError::usage(
            "`larder revoke` is called `larder auth flush` now",
        )),
        Command::LogLevel(arguments) => log_level::run(arguments, invocation),
        Command::Health(arguments) => health::run(arguments, invocation),
        Command::Config(command) => config::run(command, invocation),
        Command::Completions(arguments) => Ok(completions::run(arguments, Cli::command())?),
        Command::Man(arguments) => Ok(man::run(arguments, Cli::command())?),
    }
}
