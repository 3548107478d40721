//! `larder log-level`: what a running daemon logs, shown or changed.
//!
//! Must not know what is logged.

use clap::Args;

use super::daemon::with_running;
use super::error::CommandError;
use super::invocation::Invocation;
use super::output::print_event;
use crate::control::{Client, ClientError, SetLogLevel};

#[derive(Debug, Args)]
pub struct LogLevelArguments {
    /// The level from now on, as `log.level` in the configuration: `debug`, or
    /// `info,larder::file=debug`. Without it the present one is printed. It lasts until the daemon
    /// ends, or reads a configuration whose level is another one than before.
    #[arg(value_name = "LEVEL")]
    pub level: Option<String>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When no daemon answers, or it does not do it.
pub fn run(arguments: &LogLevelArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    let without = "there is no log to change";
    with_running(&invocation.cache_dir()?, without, async |client| {
        log_level(arguments, client).await
    })
}

/// Asks the daemon, and says how its level is now.
async fn log_level(arguments: &LogLevelArguments, client: &Client) -> Result<u8, CommandError> {
    let mut events = client
        .run(&SetLogLevel {
            level: arguments.level.clone(),
        })
        .await?;
    loop {
        match events.next().await {
            Ok(Some(now)) => {
                print_event(&now, arguments.json, |now| format!("{}\n", now.level))?;
            }
            Ok(None) => return Ok(0),
            Err(ClientError::Failed(why)) => return Err(CommandError::Usage(why)),
            Err(why) => return Err(why.into()),
        }
    }
}
