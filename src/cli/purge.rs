//! `larder purge WHAT`: removes what is named.
//!
//! Must not know how it is removed.

use clap::Args;

use super::bytes::counted;
use super::daemon::{CtrlC, used_folder, with_daemon};
use super::names::named;
use super::output::print_event;
use super::{CommandError, CommandResult, Invocation};
use crate::app::command_context;
use crate::control::{Purge, Purgeable, Purged};
use crate::values::byte_size::in_units;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub struct PurgeArguments {
    /// A project (`NAME`, `projects/42/NAME`, `groups/acme/NAME`, `MIRROR/NAME`; `*` and `?` in
    /// NAME), a scope (`projects/42`, `groups/acme`, `MIRROR/`), an address of larder's, GitLab's
    /// or a mirror's, or a sha256. `public-index` is the index that GitLab points to: where it is
    /// is forgotten too, and GitLab's next redirect teaches it again.
    #[arg(value_name = "WHAT", group = "target")]
    what: Option<String>,
    /// Everything, and what was learned of upstreams.
    #[arg(long, group = "target")]
    all: bool,
    /// Have the shared store say nothing of these files any more too.
    #[arg(long)]
    shared: bool,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// 1 if nothing of the kind was there.
///
/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &PurgeArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    let context = command_context(&config)?;
    let what = match &arguments.what {
        Some(what) => Purgeable::Named(named(what, |address| context.path(address))?),
        None => Purgeable::All,
    };
    let command = Purge {
        what,
        dry_run: arguments.dry_run,
        shared: arguments.shared,
    };
    used_folder(&config)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, _| {
            let mut events = client.run(&command).await?;
            let mut found = arguments.all;
            while let Some(event) = events.next().await.map_err(CommandError::of_arguments)? {
                found |= !matches!(event, Purged::Summary { .. });
                print_event(&event, arguments.json, in_words)?;
            }
            Ok(u8::from(!found))
        },
    )
}

fn in_words(event: &Purged) -> String {
    match event {
        Purged::Line { name, .. } => format!("{name}\n"),
        Purged::Kept { name, why, .. } => format!("{name} stays: {why}\n"),
        Purged::Body { sha256, bytes } => format!("sha256:{sha256}  {}\n", in_units(*bytes)),
        Purged::PublicIndex { url } => {
            format!("the public index {url}, until GitLab's next redirect teaches it again\n")
        }
        Purged::Summary {
            dry_run,
            lines,
            bodies,
            shared,
            skipped: left,
            taken_back,
        } => {
            let verb = if *dry_run { "would remove" } else { "removed" };
            let shared = match shared {
                0 => String::new(),
                shared => format!("; {shared} bodies stay, because other addresses lead to them"),
            };
            let skipped = skipped(*left);
            let bytes = in_units(bodies.bytes);
            let lines = counted(*lines, "record", "records");
            let bodies = counted(bodies.count, "body", "bodies");
            let taken_back = match taken_back {
                0 => String::new(),
                more => {
                    let addresses = counted(*more, "address", "addresses");
                    format!("; {addresses} in the shared store too")
                }
            };
            format!("{verb} {lines} and {bodies} ({bytes}){shared}{skipped}{taken_back}\n")
        }
    }
}

/// What is left of a removal that the store had no quiet moment for.
pub fn skipped(count: u64) -> String {
    match count {
        0 => String::new(),
        _ => format!("; {count} left, because the store was written all the time: run it again"),
    }
}
