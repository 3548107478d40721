//! `larder log-level`: what a running daemon logs, shown or changed.
//!
//! Must not know what is logged.

use clap::Args;

use super::lines::{CommandError, json_line, say};
use crate::control::{Client, ClientError, SetLogLevel};

#[derive(Debug, Args)]
pub struct LogLevelArguments {
    /// The level from now on, as `log.level` in the configuration: `debug`, or `info,larder::file=debug`. Without it the
    /// present one is printed. It lasts until the daemon ends, or reads a configuration
    /// whose level is another one than before.
    #[arg(value_name = "LEVEL")]
    pub level: Option<String>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Asks the daemon, and says how its level is now.
///
/// # Errors
/// When the level is none, or the daemon did not change it.
pub async fn log_level(asked: &LogLevelArguments, client: &Client) -> Result<u8, CommandError> {
    let mut events = client
        .order(&SetLogLevel {
            level: asked.level.clone(),
        })
        .await?;
    loop {
        match events.next().await {
            Ok(Some(now)) => say(&if asked.json {
                json_line(&now)?
            } else {
                format!("{}\n", now.level)
            })?,
            Ok(None) => return Ok(0),
            Err(ClientError::Failed(why)) => return Err(CommandError::Usage(why)),
            Err(why) => return Err(why.into()),
        }
    }
}
