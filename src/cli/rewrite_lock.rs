//! `larder rewrite-lock FILE --to URL`: a lock file's URLs, from upstream's to larder's or back.
//!
//! Owns the arguments, the file on the disk and what is said. Which URL becomes which is the
//! registry's, where one stands is the air gap's.
#![expect(
    clippy::disallowed_methods,
    reason = "the file belongs to whoever runs the command, not to the store"
)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::bytes::counted;
use super::error::CommandError;
use super::invocation::{Invocation, context};
use super::output::print;
use crate::airgap::lockfile::{LockFormat, decode};
use crate::airgap::rewrite::{RewrittenUrls, rewrite};
use crate::app::CommandContext;
use crate::registry::{Base, Swap};

/// A lock file larger than this is none.
const LOCK_BYTES_MAX: u64 = 256 << 20;

/// The word that means the other direction.
const UPSTREAM: &str = "upstream";

#[derive(Debug, Args)]
pub struct RewriteLockArguments {
    /// uv.lock, pylock.toml, poetry.lock, pdm.lock, Pipfile.lock or a requirements file; `-` for
    /// stdin.
    pub file: PathBuf,
    /// Where its URLs are to lead: the address of a larder, as http://localhost:3141, or `upstream`
    /// for the way back.
    #[arg(long, value_name = "URL|upstream")]
    pub to: String,
    /// The address that larder has in the file, if it is none that is configured and not on this
    /// machine.
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// Replace the file, in one step, in place of printing.
    #[arg(long)]
    pub in_place: bool,
}

/// What is printed where, and whether anything was to be done and nothing was.
struct RewrittenLock {
    /// For stdout; empty when the file was replaced.
    text: String,
    /// For stderr.
    report: String,
    in_vain: bool,
}

/// 1 if there were URLs and none of them was to be changed.
///
/// # Errors
/// A sentence: a file that cannot be read or replaced, an address that is none.
pub fn run(arguments: &RewriteLockArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    let config = invocation.config()?;
    let done = rewrite_lock(arguments, &context(&config)?).map_err(CommandError::Usage)?;
    print(&done.text)?;
    // Without standard error there is no reader that could miss it.
    let _ = std::io::stderr().write_all(done.report.as_bytes());
    Ok(u8::from(done.in_vain))
}

/// Rewrites a lock file by the configuration.
fn rewrite_lock(
    arguments: &RewriteLockArguments,
    context: &CommandContext,
) -> Result<RewrittenLock, String> {
    let is_stdin = arguments.file.as_os_str() == "-";
    if is_stdin && arguments.in_place {
        return Err("--in-place needs a file, not stdin".to_owned());
    }
    let name = arguments.file.to_string_lossy();
    let text = text_of(&arguments.file, &name, is_stdin)?;
    let kind = LockFormat::of(&name, &text).map_err(|why| why.to_string())?;
    let swap = swap(arguments.from.as_deref(), context)?;
    let mut hints = Vec::new();
    let mut note = |url: &str, swapped| {
        if swapped == crate::registry::Swapped::Foreign
            && swap.looks_like_ours(url)
            && hints.is_empty()
        {
            hints.push(origin(url));
        }
        swapped
    };
    let done = if arguments.to == UPSTREAM {
        rewrite(kind, &text, &mut |url| note(url, swap.to_upstream(url)))
    } else {
        let to = base(&arguments.to)
            .map_err(|why| format!("--to wants larder's address or `{UPSTREAM}`: {why}"))?;
        rewrite(kind, &text, &mut |url| note(url, swap.to_larder(url, &to)))
    };
    if arguments.in_place && done.text != text {
        replace(&arguments.file, &done.text)
            .map_err(|why| format!("cannot replace {name}: {why}"))?;
    }
    Ok(RewrittenLock {
        report: report(&name, &done, hints.first().map(String::as_str)),
        in_vain: done.changed == 0 && !done.foreign.is_empty(),
        text: if arguments.in_place {
            String::new()
        } else {
            done.text
        },
    })
}

/// The lock file, which has to be UTF-8: what is no URL stays byte for byte, so nothing is turned
/// into another encoding.
fn text_of(file: &Path, name: &str, is_stdin: bool) -> Result<String, String> {
    let bytes = if is_stdin {
        limited(std::io::stdin().lock())
    } else {
        read(file)
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
    let mut mirrors = Vec::new();
    for (mirror, _) in &context.mirrors {
        mirrors.push(mirror.clone());
    }
    Ok(Swap {
        bases: context.bases.clone(),
        mirrors,
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
        let _ = writeln!(
            report,
            "{name}: {} at {host} left alone: neither GitLab's nor a mirror's, as configured",
            urls(*count)
        );
    }
    if let Some(origin) = hint {
        let _ = writeln!(report, "if a larder is at {origin}, say --from {origin}");
    }
    report
}

fn urls(count: usize) -> String {
    counted(count as u64, "URL", "URLs")
}

/// Scheme, host and port; never a password.
fn origin(url: &str) -> String {
    url::Url::parse(url)
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    limited(std::fs::File::open(path)?)
}

fn limited(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LOCK_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LOCK_BYTES_MAX {
        return Err(std::io::Error::other("larger than any lock file"));
    }
    Ok(bytes)
}

/// Either the old file or the new one is there at any time, with the old one's permissions. A link
/// stays a link.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let permissions = std::fs::metadata(&path)?.permissions();
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(permissions)?;
    new.as_file().sync_all()?;
    new.persist(&path).map_err(|failed| failed.error)?;
    std::fs::File::open(folder)?.sync_all()
}
