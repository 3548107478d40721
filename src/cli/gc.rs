//! `larder gc`: removes what nobody needs.
//!
//! Must not know what that is.

use clap::Args;

use super::daemon::{CtrlC, with_daemon};
use super::error::CommandError;
use super::invocation::Invocation;
use super::output::print_event;
use crate::control::{Amount, Cleared, ClearedSummary, Client, Gc};
use crate::values::byte_size::in_units;

#[derive(Debug, Args)]
pub struct GcArguments {
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &GcArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    with_daemon(
        &invocation.config()?,
        CtrlC::EndsCommand,
        async |client, _| gc(arguments, client).await,
    )
}

/// Asks the daemon, and says what it said.
async fn gc(arguments: &GcArguments, client: &Client) -> Result<u8, CommandError> {
    let mut events = client
        .run(&Gc {
            dry_run: arguments.dry_run,
        })
        .await?;
    while let Some(event) = events.next().await? {
        print_event(&event, arguments.json, in_words)?;
    }
    Ok(0)
}

fn in_words(event: &Cleared) -> String {
    match event {
        Cleared::Unreferenced { sha256, bytes } => {
            format!(
                "sha256:{sha256}  {}  nothing refers to it\n",
                in_units(*bytes)
            )
        }
        Cleared::OverBudget { sha256, bytes } => {
            format!(
                "sha256:{sha256}  {}  the store is over its budget\n",
                in_units(*bytes)
            )
        }
        Cleared::Line { name, why } => format!("{name}  {why}\n"),
        Cleared::Summary(summary) => summarised(summary),
    }
}

fn summarised(summary: &ClearedSummary) -> String {
    let amount = |Amount { count, bytes }: Amount| format!("{count} ({})", in_units(bytes));
    let verb = if summary.dry_run {
        "would remove"
    } else {
        "removed"
    };
    let skipped = match summary.skipped {
        0 => String::new(),
        skipped => {
            format!("; {skipped} left, because the store was written all the time: run it again")
        }
    };
    format!(
        "{verb} {} unreferenced, {} over budget, {} quarantined, {} needless lines; index files shortened: {}{skipped}\n",
        amount(summary.unreferenced),
        amount(summary.over_budget),
        amount(summary.quarantine),
        summary.lines,
        amount(summary.index),
    )
}
