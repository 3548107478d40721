//! `larder auth`: what a running daemon remembers of GitLab's decisions about callers.
//!
//! Must not know how it is remembered.

use clap::{Args, Subcommand};

use super::bytes::counted;
use super::daemon::with_running;
use super::error::CommandError;
use super::invocation::Invocation;
use super::output::print_event;
use crate::control::{Client, FlushAuthorizations};

#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Empty the authorization cache: each caller's next request asks GitLab.
    Flush(AuthFlushArguments),
}

#[derive(Debug, Args)]
pub struct AuthFlushArguments {
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When no daemon answers, or it does not do it.
pub fn run(command: &AuthCommand, invocation: &Invocation) -> Result<u8, CommandError> {
    let AuthCommand::Flush(arguments) = command;
    let without = "nothing was flushed: authorizations live in a daemon's memory";
    with_running(&invocation.cache_dir()?, without, async |client| {
        flush(arguments, client).await
    })
}

/// Asks the daemon, and says how many authorizations there were.
async fn flush(arguments: &AuthFlushArguments, client: &Client) -> Result<u8, CommandError> {
    let mut events = client.run(&FlushAuthorizations {}).await?;
    while let Some(flushed) = events.next().await? {
        let count = counted(flushed.authorizations, "authorization", "authorizations");
        let text = format!("flushed {count}; each caller's next request asks GitLab\n");
        print_event(&flushed, arguments.json, |_| text)?;
    }
    Ok(0)
}
