//! `larder auth`: what a running daemon remembers of GitLab's decisions about callers.
//!
//! Must not know how it is remembered.

use clap::{Args, Subcommand};

use super::bytes::counted;
use super::daemon::{print_events, with_running};
use super::{CommandResult, Invocation};
use crate::control::{FlushAuthorizations, FlushedAuthorizations};

#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Empty the authorization cache: each caller's next request asks GitLab.
    Flush(AuthFlushArguments),
}

#[derive(Debug, Args)]
pub struct AuthFlushArguments {
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When no daemon answers, or it does not do it.
pub fn run(command: &AuthCommand, invocation: &Invocation) -> CommandResult {
    let AuthCommand::Flush(arguments) = command;
    let without = "nothing was flushed: authorizations live in a daemon's memory";
    with_running(&invocation.cache_dir()?, without, async |client| {
        print_events(client, &FlushAuthorizations {}, arguments.json, in_words).await
    })
}

fn in_words(flushed: &FlushedAuthorizations) -> String {
    let count = counted(flushed.authorizations, "authorization", "authorizations");
    format!("flushed {count}; each caller's next request asks GitLab\n")
}
