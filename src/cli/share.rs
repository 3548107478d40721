//! `larder share`: files that are held go to the shared store.
//!
//! Must not know how they are uploaded.

use clap::Args;

use super::bytes::counted;
use super::daemon::{CtrlC, used_folder, with_daemon};
use super::names::named;
use super::output::print_event;
use super::{CommandError, CommandResult, Invocation};
use crate::app::command_context;
use crate::control::{Client, Share, SharingEvent};

#[derive(Debug, Args)]
pub struct ShareArguments {
    /// A project (`NAME`, `projects/42/NAME`, `groups/acme/NAME`, `MIRROR/NAME`; `*` and `?` in
    /// NAME), a scope (`projects/42`, `groups/acme`, `MIRROR/`), an address of larder's, GitLab's
    /// or a mirror's, or a sha256. Without it: everything.
    #[arg(value_name = "WHAT")]
    what: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When there is no way to a daemon or to the shared store, or not to the end of it.
pub fn run(arguments: &ShareArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    let context = command_context(&config)?;
    let mut what = None;
    if let Some(text) = &arguments.what {
        what = Some(named(text, |address| context.path(address))?);
    }
    used_folder(&config)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, _| share(client, &Share { what }, arguments.json).await,
    )
}

/// Has files uploaded, and says which.
pub async fn share(client: &Client, command: &Share, json: bool) -> CommandResult {
    let mut events = client.run(command).await?;
    while let Some(event) = events.next().await.map_err(CommandError::of_arguments)? {
        print_event(&event, json, in_words)?;
    }
    Ok(0)
}

fn in_words(event: &SharingEvent) -> String {
    match event {
        SharingEvent::File { name, .. } => format!("{name}\n"),
        SharingEvent::Summary {
            uploaded,
            present,
            gone,
        } => {
            let uploaded = counted(*uploaded, "file", "files");
            let gone = match gone {
                0 => String::new(),
                gone => format!("; {gone} went from the cache meanwhile"),
            };
            format!("uploaded {uploaded} to the shared store; {present} were there already{gone}\n")
        }
    }
}
