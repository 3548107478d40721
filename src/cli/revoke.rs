//! `larder revoke`: a running daemon forgets GitLab's word about every caller.
//!
//! Must not know how it is remembered.

use clap::Args;

use super::bytes::counted;
use super::daemon::with_running;
use super::error::CommandError;
use super::invocation::Invocation;
use super::output::print_event;
use crate::control::{Client, Revoke};

#[derive(Debug, Args)]
pub struct RevokeArguments {
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When no daemon answers, or it does not do it.
pub fn run(arguments: &RevokeArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    let without = "nothing was revoked: rights live in a daemon's memory";
    with_running(&invocation.cache_dir()?, without, async |client| {
        revoke(arguments, client).await
    })
}

/// Asks the daemon, and says how many rights there were.
async fn revoke(arguments: &RevokeArguments, client: &Client) -> Result<u8, CommandError> {
    let mut events = client.order(&Revoke {}).await?;
    while let Some(revoked) = events.next().await? {
        let rights = counted(revoked.rights, "right", "rights");
        let words = format!("revoked {rights}; each caller's next request asks GitLab\n");
        print_event(&revoked, arguments.json, |_| words)?;
    }
    Ok(0)
}
