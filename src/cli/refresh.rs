//! `larder refresh PROJECT`: pages are asked for again now, and what changed is told.
//!
//! Owns the reading of what is meant. Must not know how a page is asked for.

use std::path::PathBuf;

use clap::Args;

use super::bytes::counted;
use super::daemon::{CtrlC, with_daemon};
use super::error::{CommandError, CommandResult};
use super::invocation::{Invocation, credential};
use super::output::print_event;
use crate::app::command_context;
use crate::control::{PageRefresh, Refresh, Refreshable, Refreshed};
use crate::simple::FileChange;

#[derive(Debug, Args)]
pub struct RefreshArguments {
    /// A project's name, a project in a scope (`projects/42/NAME`, `groups/acme/NAME`,
    /// `MIRROR/NAME`), or the address of a page. A name alone means every page of it that is
    /// stored.
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
    let what = &arguments.what;
    let from = arguments.from.as_deref();
    let Some(target) = read(what, from, |address| context.path(address)) else {
        let alone = match from {
            Some(_) => "; with --from it is a name alone",
            None => "",
        };
        return Err(CommandError::Usage(format!(
            "\"{what}\" is not a project's name, one such as projects/42/NAME or MIRROR/NAME, \
             or the address of a page{alone}"
        )));
    };
    let command = Refresh { what: target };
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

/// What is meant, by its form alone; `path` tells where larder serves an address.
fn read(
    what: &str,
    from: Option<&str>,
    path: impl Fn(&str) -> Option<String>,
) -> Option<Refreshable> {
    if what.starts_with('/') || what.contains("://") {
        return match from {
            Some(_) => None,
            None => path(what).map(Refreshable::Address),
        };
    }
    let (scope, project) = match (from, what.trim_end_matches('/').rsplit_once('/')) {
        (Some(_), _) if what.contains('/') => return None,
        (Some(scope), _) => (Some(scope.trim_end_matches('/')), what),
        (None, Some((scope, project))) => (Some(scope), project),
        (None, None) => (None, what),
    };
    Some(Refreshable::Project {
        scope: scope.map(str::to_owned),
        project: project.to_owned(),
    })
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
    fn what_is_meant_is_told_by_its_form() {
        let project = |scope: Option<&str>, project: &str| {
            Some(Refreshable::Project {
                scope: scope.map(str::to_owned),
                project: project.to_owned(),
            })
        };
        let path = |address: &str| address.starts_with('/').then(|| address.to_owned());
        for (what, from, meant) in [
            ("six", None, project(None, "six")),
            ("six", Some("pypi"), project(Some("pypi"), "six")),
            (
                "six",
                Some("projects/42"),
                project(Some("projects/42"), "six"),
            ),
            ("projects/42/six", None, project(Some("projects/42"), "six")),
            ("pypi/six/", None, project(Some("pypi"), "six")),
            (
                "/pypi/simple/six/",
                None,
                Some(Refreshable::Address("/pypi/simple/six/".to_owned())),
            ),
            ("/pypi/simple/six/", Some("pypi"), None),
            ("pypi/six", Some("pypi"), None),
            ("ftp://x/", None, None),
        ] {
            assert_eq!(read(what, from, path), meant, "{what} {from:?}");
        }
    }

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
