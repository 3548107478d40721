//! `larder log-level`: what a running daemon logs, shown or changed.
//!
//! Must not know what is logged.

use clap::Args;

use super::daemon::with_running;
use super::output::print_event;
use super::{CommandError, CommandResult, Invocation};
use crate::control::SetLogLevel;

#[derive(Debug, Args)]
pub struct LogLevelArguments {
    /// The level from now on, as `log.level` in the configuration: `debug`, or
    /// `info,larder::file=debug`. Without it the present one is printed. It lasts until the daemon
    /// ends, or reads a configuration whose level is another one than before.
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When no daemon answers, or it does not do it.
pub fn run(arguments: &LogLevelArguments, invocation: &Invocation) -> CommandResult {
    let without = "there is no log to change";
    with_running(&invocation.cache_dir()?, without, async |client| {
        let level = arguments.level.clone();
        let mut events = client.run(&SetLogLevel { level }).await?;
        while let Some(now) = events.next().await.map_err(CommandError::of_arguments)? {
            print_event(&now, arguments.json, |now| format!("{}\n", now.level))?;
        }
        Ok(0)
    })
}
