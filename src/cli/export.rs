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
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use http_body_util::BodyExt;
use indicatif::ProgressBar;
use serde::Serialize;

use super::bytes::counted;
use super::daemon::{CtrlC, used_folder, with_daemon};
use super::output::{event_text, print};
use super::progress::bar;
use super::{CommandError, CommandResult, Invocation};
use crate::airgap::bundle::{
    self, AdvisoriesLine, BundleError, BundlePlan, BundleReader, BundleWriter, Item, Manifest,
    PageLine, items,
};
use crate::airgap::{CONTENT, Export, Exported, sign};
use crate::app::advisory_records;
use crate::app::config::Config;
use crate::control::{Amount, Client, ClientError, empty, post};
use crate::registry::policy::ExceptionConfig;
use crate::values::byte_size::in_units;
use crate::values::clock;
use crate::values::digest::{Digest, Hasher};

/// The streams of the command line.
const STREAM: &str = "-";

/// Bytes of the records read at a time.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The bundle to write; `-` is standard output.
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// Only the files of this set.
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Leave out what an earlier bundle has: that bundle, one of its parts, or its manifest.jsonl.
    #[arg(long, value_name = "BUNDLE")]
    since: Option<PathBuf>,
    /// Write parts of at most this size, such as 4GiB: FILE.001, FILE.002, …
    #[arg(long, value_name = "SIZE")]
    split: Option<ByteSize>,
    /// Sign with this private key, or with the public key of one that an agent holds.
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Carry the records of policy.advisories along; there they are read with
    /// `policy.advisories = "imported"`.
    #[arg(long)]
    advisories: bool,
    /// Print a line of JSON for each file that was written.
    #[arg(long)]
    json: bool,
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
    blobs: u64,
    blob_bytes: u64,
    bytes: u64,
}

/// Writes the bundle, and says what was written.
///
/// # Errors
/// When there is no way to a daemon, or it does not come to the end of it.
pub fn run(arguments: &ExportArguments, invocation: &Invocation) -> CommandResult {
    let streams = arguments.bundle == Path::new(STREAM);
    if streams && arguments.split.is_some() {
        return Err(CommandError::usage(
            "--split writes several files: name one instead of -",
        ));
    }
    let config = invocation.config()?;
    used_folder(&config)?;
    let mut advisories = None;
    if arguments.advisories {
        advisories = Some(CarriedAdvisories::of(&config)?);
    }
    with_daemon(
        &config,
        invocation,
        CtrlC::EndsCommand,
        async |client, how_far| {
            how_far.note(if streams {
                "the bundle is cut"
            } else {
                "nothing was written"
            });
            for written in write(arguments, advisories, client).await? {
                let text = event_text(&written, arguments.json, in_words)?;
                if streams {
                    // Nothing is left to tell it by if this fails.
                    let _ = io::stderr().write_all(text.as_bytes());
                } else {
                    print(&text)?;
                }
            }
            Ok(0)
        },
    )
}

async fn write(
    arguments: &ExportArguments,
    advisories: Option<CarriedAdvisories>,
    client: &Client,
) -> Result<Vec<WrittenPart>, CommandError> {
    let Offered {
        mut manifest,
        pages,
        exceptions,
    } = ask(arguments, client).await?;
    if let Some(advisories) = &advisories {
        manifest.carry(advisories.line.clone());
    }
    let mut base_id = None;
    let mut old = HashSet::new();
    if let Some(path) = &arguments.since {
        let (id, base) = read_base(path)?;
        base_id = Some(id);
        old.extend(base.blobs().iter().map(|blob| blob.sha256));
    }
    let mut new = Vec::new();
    let mut sizes = Vec::new();
    for blob in manifest.blobs() {
        if !old.contains(&blob.sha256) {
            new.push(blob.sha256);
            sizes.push(blob.size);
        }
    }
    let limit = arguments.split.map(|size| size.as_u64());
    let (parts, count) = bundle::assign(&sizes, BundlePlan::overhead(&manifest)?, limit)?;
    let places: HashMap<Digest, u32> = new.into_iter().zip(parts).collect();
    manifest.place(|blob| places.get(&blob.sha256).copied());

    let created = humantime::format_rfc3339_seconds(clock::wall()).to_string();
    let plan = BundlePlan::new(manifest, count, base_id, arguments.set.clone(), created)?;
    let plan = plan.with_exceptions(exceptions);
    let bar = bar(sizes.iter().sum(), arguments.json);
    let carrier = Carrier {
        arguments,
        client,
        plan: &plan,
        pages: &pages,
        advisories: advisories.as_ref(),
        bar: &bar,
    };
    let mut written = Vec::new();
    let mut places = Vec::new();
    for number in 1..=count {
        let (part, place) = carrier.part(number).await?;
        written.push(part);
        places.extend(place);
    }
    bar.finish_and_clear();
    // Only now: a bundle of which a part is missing is none.
    for place in &places {
        place.show()?;
    }
    Ok(written)
}

/// What there is to export.
struct Offered {
    manifest: Manifest,
    /// By digest.
    pages: HashMap<Digest, String>,
    exceptions: Vec<ExceptionConfig>,
}

async fn ask(arguments: &ExportArguments, client: &Client) -> Result<Offered, CommandError> {
    let set = arguments.set.clone();
    let mut events = client.run(&Export { set }).await?;
    let mut files = Vec::new();
    let mut pages = Vec::new();
    let mut bodies: Vec<String> = Vec::new();
    let mut exceptions = Vec::new();
    while let Some(event) = events.next().await? {
        match event {
            Exported::Page {
                scope,
                project,
                address,
            } => {
                pages.push(PageLine {
                    scope,
                    project,
                    address,
                    sha256: Digest::of(b""),
                    size: 0,
                });
                bodies.push(String::new());
            }
            Exported::Body(piece) => {
                if let Some(body) = bodies.last_mut() {
                    body.push_str(&piece);
                }
            }
            Exported::File(file) => files.push(*file),
            Exported::Exceptions(told) => exceptions = told,
        }
    }
    if files.is_empty() {
        return Err(CommandError::refused(
            "there is nothing to export: no file is held; fetch some first, as with larder warm",
        ));
    }
    let mut by_digest = HashMap::new();
    for (page, body) in pages.iter_mut().zip(bodies) {
        page.sha256 = Digest::of(body.as_bytes());
        page.size = body.len() as u64;
        by_digest.insert(page.sha256, body);
    }
    Ok(Offered {
        manifest: Manifest::new(files, pages)?,
        pages: by_digest,
        exceptions,
    })
}

fn unusable(path: &Path, why: &io::Error) -> CommandError {
    let path = path.display();
    CommandError::Refused(format!("cannot read or write {path}: {why}"))
}

/// The id and the manifest of an earlier bundle.
fn read_base(path: &Path) -> Result<(Digest, Manifest), CommandError> {
    let failed = |why| unusable(path, &why);
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
    arguments: &'a ExportArguments,
    client: &'a Client,
    plan: &'a BundlePlan,
    pages: &'a HashMap<Digest, String>,
    advisories: Option<&'a CarriedAdvisories>,
    bar: &'a ProgressBar,
}

impl Carrier<'_> {
    async fn part(&self, number: u32) -> Result<(WrittenPart, Option<OutputFile>), CommandError> {
        let front = self.plan.front(number)?;
        let signature = match &self.arguments.sign {
            Some(key) => Some(sign(front.sums(), key)?),
            None => None,
        };
        let bundle = &self.arguments.bundle;
        let mut file = STREAM.to_owned();
        let mut place = None;
        let mut inner: Box<dyn Write + Send> = Box::new(io::stdout());
        if bundle != Path::new(STREAM) {
            let named = OutputFile::of(bundle, self.arguments.split.map(|_| number));
            file = named.name.display().to_string();
            inner = Box::new(named.begin()?);
            place = Some(named);
        }
        let out = Counted {
            inner: BufWriter::new(inner),
            bytes: 0,
        };
        let mut writer = BundleWriter::begin(out, self.plan, &front, signature.as_deref())?;
        let manifest = self.plan.manifest();
        let mut blobs = Amount::default();
        for item in items(manifest, Some(number)) {
            match item {
                Item::Page { .. } => self.page(&mut writer, item)?,
                Item::Advisories { .. } => self.records(&mut writer, item)?,
                Item::Blob { .. } => {
                    blobs.add(item.size());
                    self.blob(&mut writer, item).await?;
                }
            }
        }
        let written = WrittenPart {
            file,
            id: self.plan.id(),
            base: self.plan.base(),
            part: number,
            parts: self.plan.parts(),
            files: manifest.files().len(),
            pages: manifest.pages().len(),
            blobs: blobs.count,
            blob_bytes: blobs.bytes,
            bytes: writer.finish()?.bytes,
        };
        Ok((written, place))
    }

    fn page(&self, writer: &mut BundleWriter<Counted>, page: Item) -> Result<(), CommandError> {
        let body = self.pages.get(&page.sha256());
        writer.item(page)?;
        writer.write(body.map(String::as_bytes).unwrap_or_default())?;
        Ok(writer.end()?)
    }

    fn records(&self, writer: &mut BundleWriter<Counted>, item: Item) -> Result<(), CommandError> {
        writer.item(item)?;
        if let Some(advisories) = self.advisories {
            let mut file = &advisories.file;
            file.rewind()?;
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                let read = file.read(&mut chunk)?;
                if read == 0 {
                    break;
                }
                writer.write(&chunk[..read])?;
            }
        }
        Ok(writer.end()?)
    }

    async fn blob(
        &self,
        writer: &mut BundleWriter<Counted>,
        blob: Item,
    ) -> Result<(), CommandError> {
        let sha256 = blob.sha256();
        let damaged = || {
            let name = self.plan.manifest().name_of(sha256).unwrap_or("a file");
            CommandError::Refused(format!(
                "{name} (sha256 {sha256}) was damaged or is gone: nothing was written. \
                 Fetch it again, then export again"
            ))
        };
        let or_damaged = |why| match why {
            BundleError::Digest(_) => damaged(),
            why => why.into(),
        };
        writer.item(blob)?;
        let request = post(&format!("{CONTENT}{sha256}"), empty());
        let mut body = match self.client.granted(request).await {
            Ok(answer) => answer.into_body(),
            // A body that is broken off soon takes the head of its answer with it.
            Err(ClientError::NoAnswer(_)) => return Err(damaged()),
            Err(why) => return Err(why.into()),
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| damaged())?;
            let piece = frame.into_data().unwrap_or_default();
            writer.write(&piece).map_err(or_damaged)?;
            self.bar.inc(piece.len() as u64);
        }
        writer.end().map_err(or_damaged)
    }
}

/// The records in force, as they are carried.
struct CarriedAdvisories {
    line: AdvisoriesLine,
    file: File,
}

impl CarriedAdvisories {
    /// Reads them anew, and writes them down as lines.
    fn of(config: &Config) -> Result<Self, CommandError> {
        let records = advisory_records(config).map_err(CommandError::refused)?;
        let Some(loaded) = records.and_then(|records| records.loaded()) else {
            return Err(CommandError::usage(
                "--advisories carries the records of policy.advisories, and none are set",
            ));
        };
        let mut out = Hashed {
            file: BufWriter::new(tempfile::tempfile()?),
            hasher: Hasher::new(),
            bytes: 0,
        };
        loaded.write_lines(&mut out)?;
        let file = out.file.into_inner();
        Ok(Self {
            line: AdvisoriesLine {
                sha256: out.hasher.finish(),
                size: out.bytes,
                dated: humantime::format_rfc3339_seconds(loaded.dated).to_string(),
            },
            file: file.map_err(io::IntoInnerError::into_error)?,
        })
    }
}

/// A file whose digest is made while it is written.
struct Hashed {
    file: BufWriter<File>,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
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

    fn begin(&self) -> Result<File, CommandError> {
        File::create(&self.partial).map_err(|why| unusable(&self.partial, &why))
    }

    fn show(&self) -> Result<(), CommandError> {
        let synced = File::open(&self.partial).and_then(|file| file.sync_all());
        synced
            .and_then(|()| fs::rename(&self.partial, &self.name))
            .map_err(|why| unusable(&self.name, &why))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // Gone already when it appeared under its name.
        let _ = fs::remove_file(&self.partial);
    }
}

struct Counted {
    inner: BufWriter<Box<dyn Write + Send>>,
    bytes: u64,
}

impl Write for Counted {
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
        base,
        part,
        parts,
        files,
        pages,
        blobs,
        blob_bytes,
        bytes: _,
    } = written;
    let which = if *parts > 1 {
        format!("part {part} of {parts}, ")
    } else {
        String::new()
    };
    let since = match base {
        Some(base) => format!(", since bundle {base}"),
        None => String::new(),
    };
    let size = in_units(*blob_bytes);
    let files = counted(*files as u64, "file", "files");
    let pages = counted(*pages as u64, "page", "pages");
    let blobs = counted(*blobs, "blob", "blobs");
    format!("{file}: {which}{files} on {pages}, {blobs} of {size} written{since}\n  id {id}\n")
}
