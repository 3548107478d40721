//! `larder ls`: the files that are known, by project.
//!
//! Must not know how they are found.

use clap::Args;

use super::bytes::in_units;
use super::lines::{CommandError, json_line, say};
use crate::control::{Client, Listed, Ls};

#[derive(Debug, Args)]
pub struct LsArguments {
    /// A scope (`projects/42`, `groups/acme`, a mirror's name), or a glob over project names. Without it: everything.
    #[arg(value_name = "GLOB|SCOPE")]
    pub what: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// Asks the daemon, and says what it said, in order.
///
/// # Errors
/// When the daemon did not come to the end of it.
pub async fn ls(asked: &LsArguments, client: &Client) -> Result<u8, CommandError> {
    let mut events = client
        .order(&Ls {
            what: asked.what.clone(),
        })
        .await?;
    let mut files = Vec::new();
    while let Some(file) = events.next().await? {
        files.push(file);
    }
    files.sort();
    if asked.json {
        for file in &files {
            say(&json_line(file)?)?;
        }
    } else {
        say(&in_words(&files))?;
    }
    Ok(0)
}

fn in_words(files: &[Listed]) -> String {
    let mut text = String::new();
    let mut heading = None;
    for file in files {
        if heading != Some((&file.scope, &file.project)) {
            heading = Some((&file.scope, &file.project));
            text.push_str(&format!("{}/{}\n", file.scope, file.project));
        }
        let note = if file.is_held {
            ""
        } else {
            "  (not here any more)"
        };
        text.push_str(&format!(
            "  {:>10}  {}  sha256:{}{note}\n",
            in_units(file.size),
            file.filename,
            file.sha256
        ));
    }
    text
}
