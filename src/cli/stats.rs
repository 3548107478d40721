//! `larder stats`: what the store holds.
//!
//! Must not know how it is counted.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::daemon::{CtrlC, print_events, used_folder, with_daemon};
use super::{CommandResult, Invocation};
use crate::control::{Amount, Stats, Totals};
use crate::values::byte_size::in_units;

#[derive(Debug, Args)]
pub struct StatsArguments {
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &StatsArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    used_folder(&config)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, _| print_events(client, &Stats {}, arguments.json, in_words).await,
    )
}

fn in_words(totals: &Totals) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut row = |name: &str, Amount { count, bytes }: Amount| {
        let _ = writeln!(text, "{name:<24}{count:>10}  {:>12}", in_units(bytes));
    };
    row("files", totals.files);
    row("pages", totals.pages);
    row("metadata", totals.metadata);
    row("unreferenced", totals.unreferenced);
    row("quarantine", totals.quarantine);
    row("downloads under way", totals.spool);
    row("index", totals.index);
    for (scope, amount) in &totals.scopes {
        row(&format!("  in {scope}"), *amount);
    }
    let _ = writeln!(
        text,
        "stored {} of {}; {} lines of the index count no more",
        in_units(totals.stored_bytes),
        in_units(totals.budget_bytes),
        totals.superseded_lines
    );
    if let (Some(oldest), Some(newest)) = (totals.oldest_use, totals.newest_use) {
        let _ = writeln!(
            text,
            "longest unused since {}, last used {}",
            date(oldest),
            date(newest)
        );
    }
    if totals.shared_store_queue > 0 {
        let what = match totals.writes_shared_store {
            true => "are yet to be uploaded to the shared store",
            false => {
                "are noted to be uploaded to the shared store, and none that this larder writes to is configured"
            }
        };
        let _ = writeln!(text, "{} files {what}", totals.shared_store_queue);
    }
    for awaited in &totals.awaited_parts {
        let _ = writeln!(text, "waiting since {} for {awaited}", date(awaited.since));
    }
    text
}

fn date(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}
