//! `larder rewrite-lock FILE --to URL`: a lock file's URLs, from upstream's to larder's or back.
//!
//! Owns the arguments, the file on the disk and what is said. Which URL becomes which is the
//! registry's, where one stands is the air gap's.
#![expect(
    clippy::disallowed_methods,
    reason = "the file belongs to the user that runs the command, not to the store"
)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use url::Url;

use super::bytes::counted;
use super::in_force::config_in_force;
use super::output::print;
use super::{CommandError, CommandResult, Invocation};
use crate::airgap::lockfile::{LockFormat, decode};
use crate::airgap::rewrite::{RewrittenUrls, rewrite};
use crate::app::{CommandContext, command_context};
use crate::registry::{Base, Swap, Swapped};

/// A lock file larger than this is none.
const LOCK_BYTES_MAX: u64 = 256 << 20;

/// The word that means the other direction.
const UPSTREAM: &str = "upstream";

#[derive(Debug, Args)]
pub struct RewriteLockArguments {
    /// uv.lock, pylock.toml, poetry.lock, pdm.lock, Pipfile.lock or a requirements file; `-` for
    /// stdin.
    file: PathBuf,
    /// Where its URLs are to lead: the address of a larder, as http://localhost:3141, or `upstream`
    /// for the way back.
    #[arg(long, value_name = "URL|upstream")]
    to: String,
    /// The address that larder has in the file, if it is none that is configured and not on this
    /// machine.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Replace the file, in one step, in place of printing.
    #[arg(long)]
    in_place: bool,
}

/// 1 if there were URLs and none of them was to be changed.
///
/// # Errors
/// A sentence: a file that cannot be read or replaced, an address that is none.
pub fn run(arguments: &RewriteLockArguments, invocation: &Invocation) -> CommandResult {
    let found = config_in_force(invocation)?;
    let context = command_context(&found.config)?;
    let name = arguments.file.to_string_lossy();
    let text = text_of(arguments, &name).map_err(CommandError::Usage)?;
    let mut hint = None;
    let done = rewritten(arguments, &context, &text, &mut hint).map_err(CommandError::Usage)?;
    if !arguments.in_place {
        print(&done.text)?;
    } else if done.text != text {
        replace(&arguments.file, &done.text)
            .map_err(|why| CommandError::Usage(format!("cannot replace {name}: {why}")))?;
    }
    // Without standard error there is no reader that could miss it.
    let mut said = report(&name, &done, hint.as_deref());
    if !done.foreign.is_empty() {
        let _ = writeln!(said, "{name}: the configuration is that {}", found.whose);
    }
    let _ = io::stderr().write_all(said.as_bytes());
    Ok(u8::from(done.changed == 0 && !done.foreign.is_empty()))
}

/// Rewrites a lock file by the configuration; `hint` becomes where a larder seems to be that is not
/// configured.
fn rewritten(
    arguments: &RewriteLockArguments,
    context: &CommandContext,
    text: &str,
    hint: &mut Option<String>,
) -> Result<RewrittenUrls, String> {
    let kind = LockFormat::of(&arguments.file.to_string_lossy(), text);
    let kind = kind.map_err(|why| why.to_string())?;
    let swap = swap(arguments.from.as_deref(), context)?;
    let to = match arguments.to.as_str() {
        UPSTREAM => None,
        to => Some(
            base(to)
                .map_err(|why| format!("--to wants larder's address or `{UPSTREAM}`: {why}"))?,
        ),
    };
    Ok(rewrite(kind, text, &mut |url| {
        let swapped = match &to {
            Some(to) => swap.to_larder(url, to),
            None => swap.to_upstream(url),
        };
        if swapped == Swapped::Foreign && hint.is_none() && swap.looks_like_ours(url) {
            *hint = Some(origin(url));
        }
        swapped
    }))
}

/// The lock file, which has to be UTF-8: what is no URL stays byte for byte, so nothing is turned
/// into another encoding.
fn text_of(arguments: &RewriteLockArguments, name: &str) -> Result<String, String> {
    let bytes = if name != "-" {
        File::open(&arguments.file).and_then(limited)
    } else if arguments.in_place {
        return Err("--in-place needs a file, not stdin".to_owned());
    } else {
        limited(io::stdin())
    };
    let bytes = bytes.map_err(|why| format!("cannot read {name}: {why}"))?;
    String::from_utf8(bytes).map_err(|why| match decode(name, why.as_bytes()) {
        Ok(_) => format!("{name}: it is not in UTF-8: save it so first"),
        Err(why) => why.to_string(),
    })
}

/// The addresses between which URLs are changed. `from` is one that larder has in the file besides
/// those configured.
fn swap(from: Option<&str>, context: &CommandContext) -> Result<Swap, String> {
    let mut own_bases = Vec::new();
    // What is configured is an address that larder has, if it is one at all.
    for url in [&context.public_url, &format!("http://{}", context.listen)] {
        own_bases.extend(Base::parse(url));
    }
    if let Some(from) = from {
        own_bases.push(base(from)?);
    }
    Ok(Swap {
        bases: context.bases.clone(),
        mirrors: context.mirror_bases().cloned().collect(),
        own_bases,
    })
}

fn base(text: &str) -> Result<Base, String> {
    Base::parse(text).map_err(|why| format!("\"{text}\" is {why}"))
}

fn report(name: &str, done: &RewrittenUrls, hint: Option<&str>) -> String {
    let mut report = format!("{name}: {} changed", urls(done.changed));
    if done.already > 0 {
        let _ = write!(report, ", {} led there already", urls(done.already));
    }
    report.push('\n');
    for (host, count) in &done.foreign {
        let urls = urls(*count);
        let _ = writeln!(
            report,
            "{name}: {urls} at {host} left alone: neither GitLab's nor a mirror's, as configured"
        );
    }
    if let Some(origin) = hint {
        let _ = writeln!(report, "if a larder is at {origin}, say --from {origin}");
    } else if !done.foreign.is_empty() {
        report.push_str(
            "if they are a package index's, configure it as a mirror, with its url and, in \
             file_urls, where its files are\n",
        );
    }
    report
}

fn urls(count: usize) -> String {
    counted(count as u64, "URL", "URLs")
}

/// Scheme, host and port; never a password.
fn origin(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => String::new(),
    }
}

fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LOCK_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LOCK_BYTES_MAX {
        return Err(io::Error::other("larger than any lock file"));
    }
    Ok(bytes)
}

/// Either the old file or the new one is there at any time, with the old one's permissions. A link
/// stays a link.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let permissions = std::fs::metadata(&path)?.permissions();
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(permissions)?;
    new.as_file().sync_all()?;
    new.persist(&path).map_err(|failed| failed.error)?;
    File::open(folder)?.sync_all()
}
