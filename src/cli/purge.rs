//! `larder purge WHAT`: removes what is named.
//!
//! Owns the reading of WHAT. Must not know how it is removed.

use clap::Args;

use super::bytes::counted;
use super::daemon::{CtrlC, used_folder, with_daemon};
use super::output::print_event;
use super::{CommandError, CommandResult, Invocation};
use crate::app::{CommandContext, command_context};
use crate::control::{Purge, Purgeable, Purged};
use crate::values::byte_size::in_units;
use crate::values::digest::Digest;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub struct PurgeArguments {
    /// A project in a scope (`projects/42/NAME`, `groups/acme/NAME`, `MIRROR/NAME`), an address of
    /// larder's, GitLab's or a mirror's, or a sha256.
    #[arg(value_name = "WHAT", group = "target")]
    what: Option<String>,
    /// Everything.
    #[arg(long, group = "target")]
    all: bool,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// What is to go.
///
/// # Errors
/// When WHAT means nothing.
fn target(what: Option<&str>, context: &CommandContext) -> Result<Purgeable, CommandError> {
    let Some(what) = what else {
        return Ok(Purgeable::All);
    };
    let target = read(what, |address| context.path(address));
    target.ok_or_else(|| {
        CommandError::Usage(format!(
            "\"{what}\" is not a project such as projects/42/NAME or MIRROR/NAME, \
             an address of larder's, GitLab's or a mirror's, or a sha256"
        ))
    })
}

/// 1 if nothing of the kind was there.
///
/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &PurgeArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    let command = Purge {
        what: target(arguments.what.as_deref(), &command_context(&config)?)?,
        dry_run: arguments.dry_run,
    };
    used_folder(&config)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, _| {
            let mut events = client.run(&command).await?;
            let mut found = arguments.all;
            while let Some(event) = events.next().await.map_err(CommandError::of_arguments)? {
                found |= !matches!(event, Purged::Summary { .. });
                print_event(&event, arguments.json, in_words)?;
            }
            Ok(u8::from(!found))
        },
    )
}

/// What is meant, by its form alone; `path` tells where larder serves an address.
fn read(what: &str, path: impl Fn(&str) -> Option<String>) -> Option<Purgeable> {
    if let Some(digest) = Digest::parse(what.strip_prefix("sha256:").unwrap_or(what)) {
        return Some(Purgeable::Sha256(digest.to_string()));
    }
    if what.starts_with('/') || what.contains("://") {
        return path(what).map(Purgeable::Address);
    }
    let (scope, project) = what.trim_end_matches('/').rsplit_once('/')?;
    let scope = scope.to_owned();
    let project = project.to_owned();
    Some(Purgeable::Project { scope, project })
}

fn in_words(event: &Purged) -> String {
    match event {
        Purged::Line { name, .. } => format!("{name}\n"),
        Purged::Body { sha256, bytes } => format!("sha256:{sha256}  {}\n", in_units(*bytes)),
        Purged::Summary {
            dry_run,
            lines,
            bodies,
            shared,
            skipped: left,
        } => {
            let verb = if *dry_run { "would remove" } else { "removed" };
            let shared = match shared {
                0 => String::new(),
                shared => format!("; {shared} bodies stay, because other addresses lead to them"),
            };
            let skipped = skipped(*left);
            let bytes = in_units(bodies.bytes);
            let lines = counted(*lines, "record", "records");
            let bodies = counted(bodies.count, "body", "bodies");
            format!("{verb} {lines} and {bodies} ({bytes}){shared}{skipped}\n")
        }
    }
}

/// What is left of a removal that the store had no quiet moment for.
pub fn skipped(count: u64) -> String {
    match count {
        0 => String::new(),
        _ => format!("; {count} left, because the store was written all the time: run it again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_told_by_its_form() {
        let project = |scope: &str, project: &str| {
            Some(Purgeable::Project {
                scope: scope.to_owned(),
                project: project.to_owned(),
            })
        };
        let address = |path: &str| Some(Purgeable::Address(path.to_owned()));
        let path = |address: &str| {
            let below = address
                .strip_prefix("http://127.0.0.1:3141")
                .unwrap_or(address);
            below.starts_with('/').then(|| below.to_owned())
        };
        let sha = "0".repeat(64);
        for (what, meant) in [
            ("projects/42/six", project("projects/42", "six")),
            (
                "groups/acme%2Fsub/six/",
                project("groups/acme%2Fsub", "six"),
            ),
            ("pypi/six", project("pypi", "six")),
            ("/pypi/simple/six/", address("/pypi/simple/six/")),
            (
                "http://127.0.0.1:3141/pypi/packages/a-1.whl",
                address("/pypi/packages/a-1.whl"),
            ),
            ("ftp://127.0.0.1/", None),
            (sha.as_str(), Some(Purgeable::Sha256(sha.clone()))),
            ("six", None),
        ] {
            assert_eq!(read(what, path), meant, "{what}");
        }
    }
}
