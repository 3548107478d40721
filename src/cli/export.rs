//! `larder export`: writes a bundle, in one file, in parts, or as a stream.
//!
//! The daemon says what there is and gives the bytes; they are hashed once more while they are
//! written. A file appears under its name only when it is whole. Must not know how a bundle is laid
//! out, or what the daemon has.

#![expect(
    clippy::disallowed_methods,
    reason = "writes files that the caller named, outside of the cache folder"
)]

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use http_body_util::BodyExt;
use indicatif::ProgressBar;
use serde::Serialize;

use super::bytes::counted;
use super::daemon::{CtrlC, with_daemon};
use super::error::CommandError;
use super::invocation::Invocation;
use super::output::{event_text, print};
use super::progress::{HowFar, bar};
use crate::airgap::bundle::{
    self, BundleError, BundlePlan, BundleReader, BundleWriter, Item, Manifest, PageLine, PartError,
    items,
};
use crate::airgap::{CONTENT, Export, Exported, SignatureError, sign};
use crate::control::{Client, ClientError, empty, post};
use crate::values::byte_size::in_units;
use crate::values::clock;
use crate::values::digest::Digest;

/// The streams of the command line.
const STREAM: &str = "-";

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The bundle to write; `-` is standard output.
    #[arg(value_name = "FILE")]
    pub bundle: PathBuf,
    /// Only the files of this set.
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
    /// Leave out what an earlier bundle has: that bundle, one of its parts, or its manifest.jsonl.
    #[arg(long, value_name = "BUNDLE")]
    pub since: Option<PathBuf>,
    /// Write parts of at most this size, such as 4GiB: FILE.001, FILE.002, …
    #[arg(long, value_name = "SIZE")]
    pub split: Option<ByteSize>,
    /// Sign with this private key, or with the public key of one that an agent holds.
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Print a line of JSON for each file that was written.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ExportFailure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Parts(#[from] PartError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("there is nothing to export: no file is held; fetch some first, as with larder warm")]
    Nothing,
    #[error(
        "{name} (sha256 {sha256}) was damaged or is gone: nothing was written. Fetch it again, then export again"
    )]
    Damaged { name: String, sha256: Digest },
    #[error("cannot read or write {path}: {why}")]
    File { path: String, why: io::Error },
}

/// What was written; a line of JSON.
#[derive(Debug, Serialize)]
struct WrittenPart {
    file: String,
    id: Digest,
    base: Option<Digest>,
    part: u32,
    parts: u32,
    files: usize,
    pages: usize,
    blobs: usize,
    blob_bytes: u64,
    bytes: u64,
}

impl ExportArguments {
    fn check(&self) -> Result<(), CommandError> {
        if self.streams() && self.split.is_some() {
            return Err(CommandError::usage(
                "--split writes several files: name one instead of -",
            ));
        }
        Ok(())
    }

    fn streams(&self) -> bool {
        self.bundle == Path::new(STREAM)
    }
}

/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &ExportArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    arguments.check()?;
    with_daemon(
        &invocation.config()?,
        CtrlC::EndsCommand,
        async |client, how_far| export(arguments, client, how_far).await,
    )
}

/// Writes the bundle, and says what was written.
async fn export(
    arguments: &ExportArguments,
    client: &Client,
    how_far: &HowFar,
) -> Result<u8, CommandError> {
    how_far.note(if arguments.streams() {
        "the bundle is cut"
    } else {
        "nothing was written"
    });
    let written = write(arguments, client)
        .await
        .map_err(|why| CommandError::Refused(why.to_string()))?;
    for written in &written {
        let text = event_text(written, arguments.json, in_words)?;
        if arguments.streams() {
            // Nobody is left to be told if this fails.
            let _ = io::stderr().write_all(text.as_bytes());
        } else {
            print(&text)?;
        }
    }
    Ok(0)
}

async fn write(
    arguments: &ExportArguments,
    client: &Client,
) -> Result<Vec<WrittenPart>, ExportFailure> {
    let (mut manifest, pages) = ask(arguments, client).await?;
    let base = arguments.since.as_deref().map(read_base).transpose()?;
    let old: HashSet<Digest> = base
        .iter()
        .flat_map(|base| base.1.blobs())
        .map(|blob| blob.sha256)
        .collect();
    let new: Vec<(Digest, u64)> = manifest
        .blobs()
        .iter()
        .map(|blob| (blob.sha256, blob.size))
        .collect();
    let new: Vec<(Digest, u64)> = new
        .into_iter()
        .filter(|(blob, _)| !old.contains(blob))
        .collect();
    let sizes: Vec<u64> = new.iter().map(|(_, size)| *size).collect();
    let limit = arguments.split.map(|size| size.as_u64());
    let (parts, count) = bundle::assign(&sizes, BundlePlan::overhead(&manifest)?, limit)?;
    let places: HashMap<Digest, u32> = new.iter().map(|(blob, _)| *blob).zip(parts).collect();
    manifest.place(|blob| places.get(&blob.sha256).copied());

    let created = humantime::format_rfc3339_seconds(clock::wall()).to_string();
    let plan = BundlePlan::new(
        manifest,
        count,
        base.map(|(id, _)| id),
        arguments.set.clone(),
        created,
    )?;
    let bar = bar(sizes.iter().sum(), arguments.json);
    let carrier = Carrier {
        client,
        plan: &plan,
        pages: &pages,
        bar: &bar,
    };
    let mut written = Vec::new();
    for number in 1..=count {
        written.push(carrier.part(arguments, number).await?);
    }
    bar.finish_and_clear();
    // Only now: a bundle of which a part is missing is none.
    for (_, place) in &written {
        place.as_ref().map_or(Ok(()), OutputFile::show)?;
    }
    Ok(written.into_iter().map(|(written, _)| written).collect())
}

/// What there is, as the manifest of a bundle, and the pages by digest.
async fn ask(
    arguments: &ExportArguments,
    client: &Client,
) -> Result<(Manifest, HashMap<Digest, String>), ExportFailure> {
    let mut events = client
        .run(&Export {
            set: arguments.set.clone(),
        })
        .await?;
    let mut files = Vec::new();
    let mut pages = Vec::<(PageLine, String)>::new();
    while let Some(event) = events.next().await? {
        match event {
            Exported::Page {
                scope,
                project,
                address,
            } => {
                let line = PageLine {
                    scope,
                    project,
                    address,
                    sha256: Digest::of(b""),
                    size: 0,
                };
                pages.push((line, String::new()));
            }
            Exported::Body(piece) => {
                if let Some((_, body)) = pages.last_mut() {
                    body.push_str(&piece);
                }
            }
            Exported::File(file) => files.push(*file),
        }
    }
    if files.is_empty() {
        return Err(ExportFailure::Nothing);
    }
    let mut bodies = HashMap::new();
    let lines = pages.into_iter().map(|(line, body)| {
        let line = PageLine {
            sha256: Digest::of(body.as_bytes()),
            size: body.len() as u64,
            ..line
        };
        bodies.insert(line.sha256, body);
        line
    });
    let manifest = Manifest::new(files, lines.collect())?;
    Ok((manifest, bodies))
}

/// The id and the manifest of an earlier bundle.
fn read_base(path: &Path) -> Result<(Digest, Manifest), ExportFailure> {
    let failed = |why| ExportFailure::File {
        path: path.display().to_string(),
        why,
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut first = [0; 1];
    file.read_exact(&mut first).map_err(failed)?;
    let mut whole = first.chain(file);
    if first == *b"{" {
        let mut text = Vec::new();
        whole.read_to_end(&mut text).map_err(failed)?;
        return Ok((Digest::of(&text), Manifest::read(&text)?));
    }
    let (opening, _) = BundleReader::open(whole)?;
    Ok((opening.description.id, opening.manifest))
}

struct Carrier<'a> {
    client: &'a Client,
    plan: &'a BundlePlan,
    pages: &'a HashMap<Digest, String>,
    bar: &'a ProgressBar,
}

impl Carrier<'_> {
    async fn part(
        &self,
        arguments: &ExportArguments,
        number: u32,
    ) -> Result<(WrittenPart, Option<OutputFile>), ExportFailure> {
        let front = self.plan.front(number)?;
        let signature = arguments
            .sign
            .as_deref()
            .map(|key| sign(front.sums(), key))
            .transpose()?;
        let place = (!arguments.streams())
            .then(|| OutputFile::of(&arguments.bundle, arguments.split.map(|_| number)));
        let out: Box<dyn Write + Send> = match &place {
            Some(place) => Box::new(place.begin()?),
            None => Box::new(io::stdout()),
        };
        let out = Counted {
            inner: BufWriter::new(out),
            bytes: 0,
        };
        let mut writer = BundleWriter::begin(out, self.plan, &front, signature.as_deref())?;
        let mut blobs = 0;
        let mut blob_bytes = 0;
        for item in items(self.plan.manifest(), Some(number)) {
            if !item.is_page() {
                (blobs, blob_bytes) = (blobs + 1, blob_bytes + item.size());
            }
            self.item(&mut writer, item).await?;
        }
        let out = writer.finish()?;
        let manifest = self.plan.manifest();
        let written = WrittenPart {
            file: place.as_ref().map_or_else(
                || STREAM.to_owned(),
                |place| place.name.display().to_string(),
            ),
            id: self.plan.id(),
            base: self.plan.base(),
            part: number,
            parts: self.plan.parts(),
            files: manifest.files().len(),
            pages: manifest.pages().len(),
            blobs,
            blob_bytes,
            bytes: out.bytes,
        };
        Ok((written, place))
    }

    async fn item(
        &self,
        writer: &mut BundleWriter<impl Write>,
        item: Item,
    ) -> Result<(), ExportFailure> {
        let sha256 = item.sha256();
        writer.item(item.clone())?;
        if item.is_page() {
            writer.write(
                self.pages
                    .get(&sha256)
                    .map(String::as_bytes)
                    .unwrap_or_default(),
            )?;
            return Ok(writer.end()?);
        }
        let damaged = || {
            let name = self
                .plan
                .manifest()
                .name_of(sha256)
                .unwrap_or("a file")
                .to_owned();
            ExportFailure::Damaged { name, sha256 }
        };
        let answer = self
            .client
            .granted(post(&format!("{CONTENT}{sha256}"), empty()))
            .await;
        // A body that is broken off soon takes the head of its answer with it.
        let answer = answer.map_err(|why| match why {
            ClientError::NoAnswer(_) => damaged(),
            why => why.into(),
        });
        let mut body = answer?.into_body();
        while let Some(frame) = body.frame().await {
            let piece = frame
                .map_err(|_| damaged())?
                .into_data()
                .unwrap_or_default();
            writer
                .write(&piece)
                .map_err(|why| or_damaged(why, damaged))?;
            self.bar.inc(piece.len() as u64);
        }
        writer.end().map_err(|why| or_damaged(why, damaged))
    }
}

fn or_damaged(why: BundleError, damaged: impl FnOnce() -> ExportFailure) -> ExportFailure {
    if matches!(why, BundleError::Digest(_)) {
        damaged()
    } else {
        why.into()
    }
}

/// Where a file is written, and where it appears; removed if it never does.
struct OutputFile {
    name: PathBuf,
    partial: PathBuf,
}

impl OutputFile {
    fn of(bundle: &Path, part: Option<u32>) -> Self {
        let with = |ending: &str| {
            let mut name = OsString::from(bundle);
            name.push(part.map(|part| format!(".{part:03}")).unwrap_or_default());
            name.push(ending);
            PathBuf::from(name)
        };
        Self {
            name: with(""),
            partial: with(".partial"),
        }
    }

    fn begin(&self) -> Result<File, ExportFailure> {
        File::create(&self.partial).map_err(|why| Self::failed(&self.partial, why))
    }

    fn show(&self) -> Result<(), ExportFailure> {
        let synced = File::open(&self.partial).and_then(|file| file.sync_all());
        synced
            .and_then(|()| fs::rename(&self.partial, &self.name))
            .map_err(|why| Self::failed(&self.name, why))
    }

    fn failed(path: &Path, why: io::Error) -> ExportFailure {
        ExportFailure::File {
            path: path.display().to_string(),
            why,
        }
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // Gone already when it appeared under its name.
        let _ = fs::remove_file(&self.partial);
    }
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn in_words(written: &WrittenPart) -> String {
    let WrittenPart {
        file,
        id,
        part,
        parts,
        files,
        pages,
        blobs,
        blob_bytes,
        ..
    } = written;
    let which = if *parts > 1 {
        format!("part {part} of {parts}, ")
    } else {
        String::new()
    };
    let since = written
        .base
        .map(|base| format!(", since bundle {base}"))
        .unwrap_or_default();
    let size = in_units(*blob_bytes);
    let files = counted(*files as u64, "file", "files");
    let pages = counted(*pages as u64, "page", "pages");
    let blobs = counted(*blobs as u64, "blob", "blobs");
    format!("{file}: {which}{files} on {pages}, {blobs} of {size} written{since}\n  id {id}\n")
}
