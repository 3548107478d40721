//! `larder revoke`: a running daemon forgets GitLab's word about every caller.
//!
//! Must not know how it is remembered.

use clap::Args;

use super::bytes::counted;
use super::lines::{CommandError, json_line, say};
use crate::control::{Client, Revoke};

#[derive(Debug, Args)]
pub struct RevokeArguments {
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Asks the daemon, and says how many rights there were.
///
/// # Errors
/// When the daemon did not do it.
pub async fn revoke(asked: &RevokeArguments, client: &Client) -> Result<u8, CommandError> {
    let mut events = client.order(&Revoke {}).await?;
    while let Some(revoked) = events.next().await? {
        let rights = counted(revoked.rights, "right", "rights");
        let words = format!("revoked {rights}; each caller's next request asks GitLab\n");
        say(&if asked.json {
            json_line(&revoked)?
        } else {
            words
        })?;
    }
    Ok(0)
}
