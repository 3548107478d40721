//! `larder stats`: what the store holds.
//!
//! Must not know how it is counted.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::daemon::{CtrlC, with_daemon};
use super::error::CommandError;
use super::invocation::Invocation;
use super::output::print_event;
use crate::control::{Amount, Client, Stats, Totals};
use crate::values::byte_size::in_units;

#[derive(Debug, Args)]
pub struct StatsArguments {
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &StatsArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    with_daemon(
        &invocation.config()?,
        CtrlC::EndsCommand,
        async |client, _| stats(arguments, client).await,
    )
}

/// Asks the daemon, and says what it said.
async fn stats(arguments: &StatsArguments, client: &Client) -> Result<u8, CommandError> {
    let mut events = client.run(&Stats {}).await?;
    while let Some(totals) = events.next().await? {
        print_event(&totals, arguments.json, in_words)?;
    }
    Ok(0)
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
    for awaited in &totals.awaited_parts {
        let _ = writeln!(text, "waiting since {} for {awaited}", date(awaited.since));
    }
    text
}

fn date(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}
