//! `larder import`: hands bundles to the daemon, which checks them and takes them in.
//!
//! Must not know what is in a bundle.

#![expect(
    clippy::disallowed_methods,
    reason = "reads files that the caller named, outside of the cache folder"
)]

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use clap::Args;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::mpsc;

use super::bytes::counted;
use super::daemon::{CtrlC, deliver, with_daemon};
use super::output::{print, print_event};
use super::progress::bar;
use super::share::share;
use super::{CommandError, CommandResult, Invocation};
use crate::airgap::{Import, Imported};
use crate::control::{Client, Share};
use crate::values::awaited_parts::drawn_together;
use crate::values::byte_size::in_units;

const STREAM: &str = "-";

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Pieces that wait for the daemon.
const PIECES_MAX: usize = 8;

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Bundles, or parts of one in any order; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    bundles: Vec<PathBuf>,
    /// Check everything, change nothing.
    #[arg(long, visible_alias = "dry-run")]
    check: bool,
    /// Import a bundle that is not signed although keys are configured.
    #[arg(long)]
    unsigned: bool,
    /// Upload what is cached to the shared store afterwards.
    #[arg(long, conflicts_with = "check")]
    to_shared: bool,
    /// Print a line of JSON for each bundle.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ImportedBundle<'a> {
    file: &'a str,
    checked_only: bool,
    #[serde(flatten)]
    imported: &'a Imported,
}

/// Hands over one bundle after the other, and says what came of each.
///
/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &ImportArguments, invocation: &Invocation) -> CommandResult {
    check(arguments).map_err(CommandError::Usage)?;
    let config = invocation.config()?;
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, how_far| {
            let mut awaited = None;
            for (taken, path) in arguments.bundles.iter().enumerate() {
                let file = path.display().to_string();
                if !arguments.check {
                    let name = if path == Path::new(STREAM) {
                        "standard input"
                    } else {
                        &file
                    };
                    how_far.note(format!(
                        "{name} was taken as a whole or not at all: import it again to be sure"
                    ));
                }
                let imported = match hand_over(arguments, path, client).await {
                    Ok(imported) => imported,
                    Err(why) if arguments.check => return Err(CommandError::Refused(why)),
                    Err(why) => return Err(CommandError::Refused(why + &staying(taken))),
                };
                let line = ImportedBundle {
                    file: &file,
                    checked_only: arguments.check,
                    imported: &imported,
                };
                print_event(&line, arguments.json, in_words)?;
                awaited = awaited_words(&imported);
            }
            if let Some(awaited) = awaited
                && !arguments.json
            {
                print(&awaited)?;
            }
            if arguments.to_shared {
                return share(client, &Share::default(), arguments.json).await;
            }
            Ok(0)
        },
    )
}

fn check(arguments: &ImportArguments) -> Result<(), String> {
    let mut streams = 0;
    for path in &arguments.bundles {
        if path == Path::new(STREAM) {
            streams += 1;
        } else if !path.exists() {
            let path = path.display();
            return Err(format!("cannot read {path}: there is no such file"));
        }
    }
    if streams > 1 {
        return Err("standard input can be only one of the bundles".to_owned());
    }
    Ok(())
}

/// What is still to come of a bundle's parts.
fn awaited_words(imported: &Imported) -> Option<String> {
    if imported.awaited_blobs == 0 {
        return None;
    }
    let blobs = counted(imported.awaited_blobs, "blob is", "blobs are");
    let noun = match imported.awaited_parts.len() {
        1 => "part",
        _ => "parts",
    };
    let parts = drawn_together(&imported.awaited_parts);
    let of = imported.part.of;
    Some(format!(
        "{blobs} to come with {noun} {parts} of {of}; its pages become visible with the last\n"
    ))
}

/// What came in before a bundle that did not.
fn staying(taken: usize) -> String {
    match taken {
        0 => String::new(),
        1 => "\nThe bundle or part before it is in and stays".to_owned(),
        _ => format!("\nThe {taken} bundles or parts before it are in and stay"),
    }
}

async fn hand_over(
    arguments: &ImportArguments,
    path: &Path,
    client: &Client,
) -> Result<Imported, String> {
    let file = path.display();
    let unread = |why: io::Error| format!("cannot read {file}: {why}");
    let mut source: Box<dyn Read + Send> = Box::new(io::stdin());
    let mut size = 0;
    if path != Path::new(STREAM) {
        let opened = File::open(path).map_err(unread)?;
        size = opened.metadata().map_err(unread)?.len();
        source = Box::new(opened);
    }
    let bar = bar(size, arguments.json || size == 0);
    let command = Import {
        check: arguments.check,
        unsigned: arguments.unsigned,
    };
    let first = serde_json::to_string(&command).map_err(|why| unread(why.into()))? + "\n";
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    // A thread that reads a terminal or a pipe cannot be stopped; the process does not wait for it.
    let reading = bar.clone();
    std::thread::spawn(move || read_all(source, first, &sender, &reading));
    let imported = deliver::<Import>(client, Sent(pieces).boxed_unsync())
        .await
        .map_err(|why| format!("{file}: refused, and nothing of it was taken: {why}"))?;
    bar.finish_and_clear();
    imported.ok_or_else(|| format!("{file}: the daemon said nothing of it"))
}

/// Sends the command's line and everything there is to read. Ends early when the request has ended.
fn read_all(
    mut source: impl Read,
    first: String,
    sender: &mpsc::Sender<io::Result<Bytes>>,
    bar: &ProgressBar,
) {
    let mut next = Ok(Bytes::from(first));
    loop {
        let failed = next.is_err();
        if sender.blocking_send(next).is_err() || failed {
            return;
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        next = match source.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => {
                chunk.truncate(read);
                bar.inc(read as u64);
                Ok(chunk.into())
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => Ok(Bytes::new()),
            Err(why) => Err(why),
        };
    }
}

/// A bundle on its way to the daemon.
struct Sent(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Sent {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(Into::into)))
    }
}

fn in_words(line: &ImportedBundle<'_>) -> String {
    let file = line.file;
    let Imported {
        id,
        part,
        signed,
        files,
        pages,
        new_blobs,
        new_bytes,
        exceptions,
        advisories,
        ..
    } = line.imported;
    let which = if part.of > 1 {
        format!("part {} of {}, ", part.number, part.of)
    } else {
        String::new()
    };
    let done = if line.checked_only {
        "good; would bring"
    } else {
        "imported"
    };
    let signature = if *signed { ", signature good" } else { "" };
    let size = in_units(*new_bytes);
    let files = counted(*files, "file", "files");
    let pages = counted(*pages, "page", "pages");
    let blobs = counted(*new_blobs, "new blob", "new blobs");
    let advisories = if *advisories {
        ", with advisories (policy.advisories = \"imported\")"
    } else {
        ""
    };
    let carried = counted(*exceptions, "exception", "exceptions");
    let passing = match (exceptions, signed) {
        (0, _) => String::new(),
        (_, true) => format!(", {carried}"),
        (_, false) => format!(", without its {carried} (import.allowed_signers)"),
    };
    format!(
        "{file}: {which}{done} {files} on {pages}, {blobs} of {size}{advisories}{signature}{passing}\n  id {id}\n"
    )
}
