//! `larder ls`: the files that are known, by project.
//!
//! Must not know how they are found.

use std::collections::HashSet;
use std::rc::Rc;

use clap::Args;

use super::daemon::{CtrlC, used_folder, with_daemon};
use super::names::named;
use super::output::{json_line, print};
use super::{CommandResult, Invocation};
use crate::app::command_context;
use crate::control::{ClientError, Listed, Ls, Named};
use crate::values::byte_size::in_units;
use crate::values::digest::Digest;

/// Written to standard output at a time.
const PRINTED_BYTES: usize = 64 << 10;

#[derive(Debug, Args)]
pub struct LsArguments {
    /// A project (`NAME`, `projects/42/NAME`, `groups/acme/NAME`, `MIRROR/NAME`; `*` and `?` in
    /// NAME), a scope (`projects/42`, `groups/acme`, `MIRROR/`), an address of larder's, GitLab's
    /// or a mirror's, or a sha256. `public-index` is the index that GitLab points to. Without it:
    /// everything.
    #[arg(value_name = "WHAT")]
    what: Option<String>,
    /// The files of this set alone.
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
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
    let set = arguments.set.clone();
    used_folder(&config)?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, _| {
            let mut events = client.run(&Ls { what, set }).await?;
            let mut list = List::default();
            while let Some(file) = events.next().await? {
                list.add(file)?;
            }
            list.print(arguments.json)
        },
    )
}

/// A list that is printed in its order, and may be of millions of files: what many of them have in
/// common is held once.
#[derive(Default)]
struct List {
    rows: Vec<Row>,
    shared: HashSet<Rc<str>>,
}

/// A file, in the order of the list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    scope: Rc<str>,
    project: Rc<str>,
    filename: Box<str>,
    size: u64,
    sha256: Digest,
    address: Address,
    is_held: bool,
    last_use: Option<u64>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Address {
    /// What stands before the digest and the name of the file, in GitLab's addresses.
    ByDigest(Rc<str>),
    Other(Box<str>),
}

impl List {
    fn add(&mut self, file: Listed) -> Result<(), ClientError> {
        let sha256 = Digest::parse(&file.sha256).ok_or(ClientError::Garbled)?;
        let by_digest = by_digest(&file.sha256, &file.filename);
        let address = match file.address.strip_suffix(&by_digest) {
            Some(before) => Address::ByDigest(self.shared(before)),
            None => Address::Other(file.address.into()),
        };
        let row = Row {
            scope: self.shared(&file.scope),
            project: self.shared(&file.project),
            filename: file.filename.into(),
            size: file.size,
            sha256,
            address,
            is_held: file.is_held,
            last_use: file.last_use,
        };
        self.rows.push(row);
        Ok(())
    }

    fn shared(&mut self, text: &str) -> Rc<str> {
        if let Some(known) = self.shared.get(text) {
            return Rc::clone(known);
        }
        let new: Rc<str> = text.into();
        self.shared.insert(Rc::clone(&new));
        new
    }

    /// Prints it, many lines at a time.
    fn print(mut self, json: bool) -> CommandResult {
        self.rows.sort_unstable();
        let mut text = String::new();
        let mut heading = None;
        for row in &self.rows {
            if json {
                text.push_str(&json_line(&row.listed())?);
            } else {
                if heading != Some((&row.scope, &row.project)) {
                    heading = Some((&row.scope, &row.project));
                    text.push_str(&format!("{}/{}\n", row.scope, row.project));
                }
                text.push_str(&row.in_words());
            }
            if text.len() >= PRINTED_BYTES {
                print(&text)?;
                text.clear();
            }
        }
        print(&text)?;
        Ok(0)
    }
}

impl Row {
    fn listed(&self) -> Listed {
        let sha256 = self.sha256.to_string();
        let address = match &self.address {
            Address::ByDigest(before) => format!("{before}{}", by_digest(&sha256, &self.filename)),
            Address::Other(whole) => whole.to_string(),
        };
        Listed {
            scope: self.scope.to_string(),
            project: self.project.to_string(),
            filename: self.filename.to_string(),
            size: self.size,
            sha256,
            address,
            is_held: self.is_held,
            last_use: self.last_use,
        }
    }

    fn in_words(&self) -> String {
        let note = if self.is_held {
            ""
        } else {
            "  (not here any more)"
        };
        format!(
            "  {:>10}  {}  sha256:{}{note}\n",
            in_units(self.size),
            self.filename,
            self.sha256
        )
    }
}

/// The end of a file's address at GitLab.
fn by_digest(sha256: &str, filename: &str) -> String {
    format!("{sha256}/{filename}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_told_as_it_came_and_in_order() -> Result<(), ClientError> {
        let sha256 = Digest::of(b"").to_string();
        let file = |address: String, filename: &str| Listed {
            scope: "projects/42".to_owned(),
            project: "six".to_owned(),
            filename: filename.to_owned(),
            size: 7,
            sha256: sha256.clone(),
            address,
            is_held: true,
            last_use: Some(1),
        };
        let gitlab = "/api/v4/projects/42/packages/pypi/files";
        let files = [
            file(format!("{gitlab}/{sha256}/six-2.tar.gz"), "six-2.tar.gz"),
            file(
                format!("{gitlab}/{}/six-1.tar.gz", sha256.to_uppercase()),
                "six-1.tar.gz",
            ),
            file("/pypi/packages/aa/six-0.tar.gz".to_owned(), "six-0.tar.gz"),
        ];
        let mut list = List::default();
        for file in files.clone() {
            list.add(file)?;
        }
        let rows = list.rows.iter().map(Row::listed);
        assert_eq!(rows.collect::<Vec<_>>(), files);
        list.rows.sort_unstable();
        let names: Vec<_> = list.rows.iter().map(|row| &*row.filename).collect();
        assert_eq!(names, ["six-0.tar.gz", "six-1.tar.gz", "six-2.tar.gz"]);
        Ok(())
    }
}
