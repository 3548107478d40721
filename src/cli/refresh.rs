//! `larder refresh PROJECT`: pages are asked for again now, and what changed is told.
//!
//! Owns the reading of what is meant. Must not know how a page is asked for.

use std::path::PathBuf;

use clap::Args;

use super::bytes::counted;
use super::daemon::{CtrlC, with_daemon};
use super::error::CommandError;
use super::invocation::{Invocation, context, credential};
use super::output::print_event;
use crate::access::Credential;
use crate::app::CommandContext;
use crate::control::{Client, ClientError, PageRefresh, Refresh, Refreshable, Refreshed};
use crate::simple::FileChange;

#[derive(Debug, Args)]
pub struct RefreshArguments {
    /// A project's name, a project in a scope (`projects/42/NAME`, `groups/acme/NAME`,
    /// `MIRROR/NAME`), or the address of a page. A name alone means every page of it that is
    /// stored.
    #[arg(value_name = "PROJECT")]
    pub what: String,
    /// Whose project it is: `projects/42`, `groups/acme` or a mirror's name.
    #[arg(long, value_name = "SOURCE")]
    pub from: Option<String>,
    /// The token to ask GitLab with. Without it, pages of GitLab's are only marked: their next
    /// reader's request asks.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as
    /// PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    pub user: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

impl RefreshArguments {
    /// What is meant.
    ///
    /// # Errors
    /// When it means nothing.
    fn target(&self, context: &CommandContext) -> Result<Refreshable, CommandError> {
        read(&self.what, self.from.as_deref(), |address| context.path(address)).ok_or_else(|| {
            let forms =
                "a project's name, one such as projects/42/NAME or MIRROR/NAME, or the address of a page";
            let from = if self.from.is_some() { "; with --from it is a name alone" } else { "" };
            CommandError::Usage(format!("\"{}\" is not {forms}{from}", self.what))
        })
    }
}

/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &RefreshArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    let config = invocation.config()?;
    let target = arguments.target(&context(&config)?)?;
    let credential = credential(&arguments.user, &arguments.token_file)?;
    with_daemon(&config, CtrlC::EndsCommand, async |client, _| {
        refresh(arguments, target, &credential, client).await
    })
}

/// Asks the daemon, and says what it said. 1 if upstream refused, or could not be arguments.
async fn refresh(
    arguments: &RefreshArguments,
    what: Refreshable,
    credential: &Credential,
    client: &Client,
) -> Result<u8, CommandError> {
    let mut events = client.run_as(&Refresh { what }, credential).await?;
    let mut is_well = true;
    loop {
        let event = match events.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(u8::from(!is_well)),
            Err(ClientError::Failed(why)) => return Err(CommandError::Usage(why)),
            Err(why) => return Err(why.into()),
        };
        is_well &= !matches!(&event, Refreshed::Page { end, .. } if !end.is_well());
        print_event(&event, arguments.json, in_words)?;
    }
}

/// What is meant, by its form alone; `path` tells where larder serves an address.
fn read(
    what: &str,
    from: Option<&str>,
    path: impl Fn(&str) -> Option<String>,
) -> Option<Refreshable> {
    let is_address = what.starts_with('/') || what.contains("://");
    match (from, is_address) {
        (Some(_), true) => None,
        (None, true) => path(what).map(Refreshable::Address),
        (Some(scope), false) => (!what.contains('/')).then(|| Refreshable::Project {
            scope: Some(scope.trim_end_matches('/').to_owned()),
            project: what.to_owned(),
        }),
        (None, false) => Some(match what.trim_end_matches('/').rsplit_once('/') {
            Some((scope, project)) => Refreshable::Project {
                scope: Some(scope.to_owned()),
                project: project.to_owned(),
            },
            None => Refreshable::Project {
                scope: None,
                project: what.to_owned(),
            },
        }),
    }
}

fn in_words(event: &Refreshed) -> String {
    match event {
        Refreshed::File {
            filename, change, ..
        } => match change {
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
        },
        Refreshed::Page { page, end } => {
            let files = |files: &u64| match files {
                0 => String::new(),
                some => format!(", {}", counted(*some, "file", "files")),
            };
            let end = match end {
                PageRefresh::Unchanged { files: count } => format!("unchanged{}", files(count)),
                PageRefresh::Changed { files: count } => format!("changed{}", files(count)),
                PageRefresh::New { files: count } => format!("new here{}", files(count)),
                PageRefresh::TooLarge => {
                    "too large to be kept: it is asked for each time".to_owned()
                }
                PageRefresh::Marked => {
                    "marked: its next reader's request asks (--token-file asks now)".to_owned()
                }
                PageRefresh::Refused { status } => format!("upstream refused: {status}"),
                PageRefresh::Failed { why } => format!("failed: {why}"),
            };
            format!("{page}  {end}\n")
        }
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
