//! `larder gc`: removes what nothing needs.
//!
//! Must not know what that is.

use clap::Args;

use super::daemon::{CtrlC, print_events, used_folder, with_daemon};
use super::purge::skipped;
use super::{CommandResult, Invocation};
use crate::control::{Amount, Cleared, ClearedSummary, Gc};
use crate::values::byte_size::in_units;

#[derive(Debug, Args)]
pub struct GcArguments {
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &GcArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    used_folder(&config)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, _| {
            let command = Gc {
                dry_run: arguments.dry_run,
            };
            print_events(client, &command, arguments.json, in_words).await
        },
    )
}

fn in_words(event: &Cleared) -> String {
    match event {
        Cleared::Unreferenced { sha256, bytes } => {
            let size = in_units(*bytes);
            format!("sha256:{sha256}  {size}  nothing refers to it\n")
        }
        Cleared::OverBudget { sha256, bytes } => {
            let size = in_units(*bytes);
            format!("sha256:{sha256}  {size}  the store is over its budget\n")
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
    let skipped = skipped(summary.skipped);
    format!(
        "{verb} {} unreferenced, {} over budget, {} quarantined, {} needless lines; \
         index files shortened: {}{skipped}\n",
        amount(summary.unreferenced),
        amount(summary.over_budget),
        amount(summary.quarantine),
        summary.lines,
        amount(summary.index),
    )
}
