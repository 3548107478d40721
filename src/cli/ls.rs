//! `larder ls`: the files that are known, by project.
//!
//! Must not know how they are found.

use clap::Args;

use super::daemon::{CtrlC, used_folder, with_daemon};
use super::names::named;
use super::output::{json_line, print};
use super::{CommandResult, Invocation};
use crate::app::command_context;
use crate::control::{Listed, Ls, Named};
use crate::values::byte_size::in_units;

#[derive(Debug, Args)]
pub struct LsArguments {
    /// A project (`NAME`, `projects/42/NAME`, `groups/acme/NAME`, `MIRROR/NAME`; `*` and `?` in
    /// NAME), a scope (`projects/42`, `groups/acme`, `MIRROR/`), an address of larder's, GitLab's
    /// or a mirror's, or a sha256. `public-index` is the index that GitLab points to. Without it:
    /// everything.
    #[arg(value_name = "WHAT")]
    what: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &LsArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    let context = command_context(&config)?;
    let mut what = None;
    if let Some(text) = &arguments.what {
        what = Some(named(text, |address| context.path(address))?);
    }
    // A mirror's name without the slash means the mirror, where there is one.
    if let Some(Named::Project {
        scope: None,
        project,
    }) = &what
        && context
            .mirror_bases()
            .any(|base| base.to_string() == *project)
    {
        what = Some(Named::Scope(project.clone()));
    }
    used_folder(&config)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, _| {
            let mut events = client.run(&Ls { what }).await?;
            let mut files = Vec::new();
            while let Some(file) = events.next().await? {
                files.push(file);
            }
            files.sort();
            if !arguments.json {
                print(&in_words(&files))?;
                return Ok(0);
            }
            for file in &files {
                print(&json_line(file)?)?;
            }
            Ok(0)
        },
    )
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
