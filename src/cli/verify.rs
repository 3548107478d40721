//! `larder verify`: everything is hashed again.
//!
//! Must not know how damage is mended.

use clap::Args;

use super::bytes::{counted, in_units};
use super::lines::{CommandError, json_line, say};
use super::progress::{HowFar, bar};
use crate::control::{Client, Verified, Verify};

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// Asks the daemon, and says what it said: 0 if all was right, 1 if there was damage, which is mended then.
///
/// # Errors
/// When the daemon did not come to the end of it.
pub async fn verify(
    asked: &VerifyArguments,
    client: &Client,
    how_far: &HowFar,
) -> Result<u8, CommandError> {
    let mut events = client.order(&Verify {}).await?;
    let bar = bar(0, asked.json);
    how_far.note("nothing was checked yet");
    let mut faults = 0;
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
                let (done, all) = (in_units(*bytes), in_units(*of_bytes));
                how_far.note(format!(
                    "{bodies} of {of_bodies} bodies were checked, {done} of {all}"
                ));
            }
            Verified::Summary { faults: all, .. } => faults = *all,
            _ => {}
        }
        let text = if asked.json {
            json_line(&event)?
        } else {
            in_words(&event)
        };
        if !text.is_empty() {
            bar.suspend(|| say(&text))?;
        }
    }
    bar.finish_and_clear();
    Ok(u8::from(faults > 0))
}

fn in_words(event: &Verified) -> String {
    match event {
        Verified::Progress { .. } => String::new(),
        Verified::Damaged {
            sha256,
            bytes,
            addresses,
        } => {
            let whose: String = addresses
                .iter()
                .map(|address| format!("  {address}\n"))
                .collect();
            format!(
                "damaged and set aside: sha256:{sha256}  {}\n{whose}",
                in_units(*bytes)
            )
        }
        Verified::Emptied { sha256, addresses } => {
            let whose: String = addresses
                .iter()
                .map(|address| format!("  {address}\n"))
                .collect();
            format!("empty, as a power cut leaves pages, and removed: sha256:{sha256}\n{whose}")
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
            faults: 0,
        } => {
            let (bodies, lines) = (
                counted(*bodies, "body", "bodies"),
                counted(*lines, "record", "records"),
            );
            format!(
                "all is right: {bodies} ({}) and {lines}\n",
                in_units(*bytes)
            )
        }
        Verified::Summary {
            bodies,
            bytes,
            lines,
            faults,
        } => {
            let bytes = in_units(*bytes);
            format!(
                "{} in {} ({bytes}) and {}; what was damaged is fetched again\n",
                counted(*faults, "fault", "faults"),
                counted(*bodies, "body", "bodies"),
                counted(*lines, "record", "records"),
            )
        }
    }
}
