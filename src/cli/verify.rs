//! `larder verify`: everything is hashed again.
//!
//! Must not know how damage is mended.

use clap::Args;

use super::bytes::counted;
use super::daemon::{CtrlC, used_folder, with_daemon};
use super::output::{event_text, print};
use super::progress::bar;
use super::{CommandResult, Invocation};
use crate::control::{Verified, Verify};
use crate::values::byte_size::in_units;

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// 0 if all was right, 1 if there was damage, which is mended then.
///
/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &VerifyArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    used_folder(&config)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, how_far| {
            let mut events = client.run(&Verify {}).await?;
            let bar = bar(0, arguments.json);
            how_far.note("nothing was checked yet");
            let mut is_damaged = false;
            while let Some(event) = events.next().await? {
                match &event {
                    Verified::Progress {
                        bodies,
                        of_bodies,
                        bytes,
                        of_bytes,
                    } => {
                        bar.set_length(*of_bytes);
                        bar.set_position(*bytes);
                        let done = in_units(*bytes);
                        let all = in_units(*of_bytes);
                        how_far.note(format!(
                            "{bodies} of {of_bodies} bodies were checked, {done} of {all}"
                        ));
                    }
                    Verified::Summary { faults, .. } => is_damaged = *faults > 0,
                    _ => {}
                }
                let text = event_text(&event, arguments.json, in_words)?;
                if !text.is_empty() {
                    bar.suspend(|| print(&text))?;
                }
            }
            bar.finish_and_clear();
            Ok(u8::from(is_damaged))
        },
    )
}

fn in_words(event: &Verified) -> String {
    match event {
        Verified::Progress { .. } => String::new(),
        Verified::Damaged {
            sha256,
            bytes,
            addresses,
        } => {
            let size = in_units(*bytes);
            let addresses = indented(addresses);
            format!("damaged and quarantined: sha256:{sha256}  {size}\n{addresses}")
        }
        Verified::Emptied { sha256, addresses } => {
            let addresses = indented(addresses);
            format!("empty, as a power cut leaves pages, and removed: sha256:{sha256}\n{addresses}")
        }
        Verified::Misrecorded { address, .. } => {
            format!("recorded with a wrong length: {address}\n")
        }
        Verified::UnreadableLines { lines } => {
            format!("{lines} unreadable lines of the index cleared away\n")
        }
        Verified::Summary {
            bodies,
            bytes,
            lines,
            faults,
        } => {
            let bodies = counted(*bodies, "body", "bodies");
            let lines = counted(*lines, "record", "records");
            let all = format!("{bodies} ({}) and {lines}", in_units(*bytes));
            if *faults == 0 {
                return format!("all is right: {all}\n");
            }
            let faults = counted(*faults, "fault", "faults");
            format!("{faults} in {all}; what was damaged is fetched again\n")
        }
    }
}

fn indented(addresses: &[String]) -> String {
    let mut text = String::new();
    for address in addresses {
        text.push_str(&format!("  {address}\n"));
    }
    text
}
