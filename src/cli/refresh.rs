//! `larder refresh PROJECT`: pages are asked for again now, and what changed is told.
//!
//! Must not know how a page is asked for.

use std::path::PathBuf;

use clap::Args;

use super::bytes::counted;
use super::daemon::{CtrlC, with_daemon};
use super::error::{CommandError, CommandResult};
use super::invocation::{Invocation, credential};
use super::names::named;
use super::output::print_event;
use crate::app::command_context;
use crate::control::{Named, PageRefresh, Refresh, Refreshed};
use crate::simple::FileChange;

#[derive(Debug, Args)]
pub struct RefreshArguments {
    /// A project (`NAME`, `projects/42/NAME`, `groups/acme/NAME`, `MIRROR/NAME`; `*` and `?` in
    /// NAME), a scope (`projects/42`, `groups/acme`, `MIRROR/`; `public-index` is the index that
    /// GitLab points to), or the address of a page. A name alone, a glob and a scope mean every
    /// page of them that is stored.
    #[arg(value_name = "PROJECT")]
    what: String,
    /// Whose project it is: `projects/42`, `groups/acme` or a mirror's name.
    #[arg(long, value_name = "SOURCE")]
    from: Option<String>,
    /// The token to ask GitLab with. Without it, pages of GitLab's are only marked: their next
    /// reader's request asks.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as
    /// PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    user: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// 1 if upstream refused, or could not be asked.
///
/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &RefreshArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    let context = command_context(&config)?;
    let mut what = named(&arguments.what, |address| context.path(address))?;
    if let Some(from) = &arguments.from {
        let Named::Project { scope, .. } = &mut what else {
            return Err(alone(&arguments.what));
        };
        if scope.is_some() {
            return Err(alone(&arguments.what));
        }
        *scope = Some(from.trim_end_matches('/').to_owned());
    }
    let command = Refresh { what };
    let credential = credential(&arguments.user, &arguments.token_file)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, _| {
            let mut events = client.run_as(&command, &credential).await?;
            let mut is_well = true;
            while let Some(event) = events.next().await.map_err(CommandError::of_arguments)? {
                is_well &= !matches!(&event, Refreshed::Page { end, .. } if !end.is_well());
                print_event(&event, arguments.json, in_words)?;
            }
            Ok(u8::from(!is_well))
        },
    )
}

fn alone(what: &str) -> CommandError {
    CommandError::Usage(format!(
        "with --from \"{what}\" has to be a project's name alone"
    ))
}

fn in_words(event: &Refreshed) -> String {
    match event {
        Refreshed::File {
            filename, change, ..
        } => file_words(filename, change),
        Refreshed::Page { page, end } => format!("{page}  {}\n", page_words(end)),
    }
}

fn file_words(filename: &str, change: &FileChange) -> String {
    match change {
        FileChange::Added => format!("  + {filename}\n"),
        FileChange::Withdrawn => format!("  - {filename}\n"),
        FileChange::Yanked { reason } if reason.is_empty() => {
            format!("  ! {filename} was yanked\n")
        }
        // An uploader's text, for a terminal.
        FileChange::Yanked { reason } => {
            format!("  ! {filename} was yanked: {}\n", reason.escape_debug())
        }
        FileChange::Unyanked => format!("  ! {filename} is no longer yanked\n"),
        FileChange::Replaced => format!("  ! {filename} has another sha256 than before\n"),
    }
}

fn page_words(end: &PageRefresh) -> String {
    let (outcome, files) = match end {
        PageRefresh::Unchanged { files } => ("unchanged", files),
        PageRefresh::Changed { files } => ("changed", files),
        PageRefresh::New { files } => ("new here", files),
        PageRefresh::TooLarge => {
            return "too large to be kept: it is asked for each time".to_owned();
        }
        PageRefresh::Marked => {
            return "marked: its next reader's request asks (--token-file asks now)".to_owned();
        }
        PageRefresh::Refused { status } => return format!("upstream refused: {status}"),
        PageRefresh::Failed { why } => return format!("failed: {why}"),
    };
    match files {
        0 => outcome.to_owned(),
        _ => format!("{outcome}, {}", counted(*files, "file", "files")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uploaders_words_cannot_drive_the_terminal() {
        let change = FileChange::Yanked {
            reason: "\x1b[2Jgone".to_owned(),
        };
        let event = Refreshed::File {
            page: "/p".to_owned(),
            filename: "a.whl".to_owned(),
            change,
        };
        assert!(!in_words(&event).contains('\x1b'));
    }
}
