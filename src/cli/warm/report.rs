//! What `larder warm` prints: a bar on a terminal, a line a file elsewhere, or JSON lines; and the
//! sum at the end.
//!
//! Files go to standard output, all else to standard error. Must not know how files are fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, IsTerminal, Write};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::super::bytes::counted;
use super::super::progress;
use super::allowed::Allowed;
use super::inputs::Inputs;
use super::left_out::LeftBehind;
use crate::airgap::warm::fetcher::FetchedFrom;
use crate::airgap::warm::need::{self, Need};
use crate::airgap::warm::plan::{Missing, Planned, WarmPlan};
use crate::airgap::warm::record::Recording;
use crate::airgap::warm::target::TargetEnvironment;
use crate::airgap::warm::{Event, FetchedFile};
use crate::app::CommandContext;
use crate::control::Amount;
use crate::store::SetName;
use crate::values::byte_size::in_units;
use crate::values::digest::Digest;

/// So many names are told of a long list.
const NAMES_MAX: usize = 5;

/// A project, what of it, and for which machine.
type Gap = (String, String, Option<String>);

#[derive(Default)]
pub struct WarmReport {
    json: bool,
    pub dry: bool,
    is_terminal: bool,
    bar: Option<ProgressBar>,
    /// Files that the bar counts.
    files: usize,
    files_done: usize,
    fetched: Amount,
    held: Amount,
    /// What is there now, as sha256 and address.
    pub there: Vec<(Digest, String)>,
    filtered: usize,
    /// What is missing, once each.
    missing: BTreeSet<Gap>,
    allowed: Allowed,
    /// The same, of what is accepted.
    accepted: BTreeSet<Gap>,
    /// What the machines need.
    needs: Vec<Need>,
    /// Addresses of what a dry run would have in the end.
    would: BTreeSet<String>,
    /// Machines that were asked for and that a lock is not for.
    outside: usize,
    /// Lines about files that are there but not as asked.
    unread: usize,
    /// What would have to come from elsewhere than an index.
    elsewhere: usize,
}

impl WarmReport {
    pub fn new(json: bool, dry: bool, allowed: Allowed) -> Self {
        Self {
            json,
            dry,
            is_terminal: std::io::stderr().is_terminal(),
            allowed,
            ..Self::default()
        }
    }

    /// A line for the person.
    pub fn remark(&self, line: &str) -> Result<(), String> {
        self.aside(|| writeln!(std::io::stderr(), "{line}"))
    }

    /// What is to be said of the inputs before anything is asked for.
    pub fn inputs(&mut self, inputs: &Inputs, context: &CommandContext) -> Result<(), String> {
        for left in &inputs.left_out {
            self.left_out(left)?;
        }
        for outside in &inputs.outside {
            self.outside += 1;
            self.told(&outside.json(), &outside.sentence())?;
        }
        for unserved in &inputs.unserved {
            self.told(&unserved.json(), &unserved.sentence())?;
        }
        for remark in &inputs.remarks {
            self.remark(remark)?;
        }
        self.unlocked(&inputs.unlocked, context)
    }

    /// A line of JSON where these are asked for, and a sentence for the person elsewhere.
    fn told(&self, json: &Value, sentence: &str) -> Result<(), String> {
        if self.json {
            self.line(json)
        } else {
            self.remark(sentence)
        }
    }

    /// Says that nothing chose the versions but their age.
    fn unlocked(&self, names: &[String], context: &CommandContext) -> Result<(), String> {
        if names.is_empty() {
            return Ok(());
        }
        let (shown, more) = names.split_at(names.len().min(NAMES_MAX));
        let mut shown = shown.join(", ");
        if !more.is_empty() {
            shown.push_str(&format!(" and {} more", more.len()));
        }
        self.remark(&format!(
            "not locked: {shown}. \
             The newest matching files are taken, without what they depend on; \
             to lock all of it: uv pip compile --universal --generate-hashes \
             -i http://{}{}/SOURCE/simple/ requirements.in",
            context.listen, context.path_prefix
        ))
    }

    pub fn planned(&mut self, plan: &mut WarmPlan) -> Result<(), String> {
        self.needs.append(&mut plan.needs);
        self.filtered += plan.filtered.len();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for file in &plan.filtered {
            *reasons.entry(file.why.to_string()).or_default() += 1;
        }
        let (bytes, unknown) = plan.bytes();
        let size = in_units(bytes);
        let unknown = match unknown {
            0 => String::new(),
            _ => format!(" and {unknown} of unknown size"),
        };
        self.remark(&format!("{}, {size}{unknown}", files(plan.files.len())))?;
        for (why, count) in reasons {
            self.remark(&format!("left out: {count} {why}"))?;
        }
        Ok(())
    }

    /// The bar, or nothing where standard error is no terminal.
    pub fn begin(&mut self, files: &[Planned]) {
        self.files = files.len();
        self.files_done = 0;
        if !self.is_terminal || files.is_empty() {
            return;
        }
        let bytes = files.iter().filter_map(|file| file.size).sum();
        let bar = progress::bar(bytes, self.json);
        bar.set_message(format!("0/{} files", self.files));
        self.bar = Some(bar);
    }

    pub fn event(&mut self, event: Event) -> Result<(), String> {
        match (event, &self.bar) {
            (Event::Bytes(count), Some(bar)) => bar.inc(count),
            (Event::Lost(count), Some(bar)) => bar.dec(count),
            (Event::Done(fetched), _) => {
                self.files_done += 1;
                if let Some(bar) = &self.bar {
                    if let (None, Ok(here)) = (fetched.file.size, &fetched.result) {
                        bar.inc_length(here.size);
                    }
                    bar.set_message(format!("{}/{} files", self.files_done, self.files));
                }
                self.done(&fetched)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What became of a file.
    pub fn done(&mut self, fetched: &FetchedFile) -> Result<(), String> {
        if let Some(missing) = fetched.missing() {
            return self.missing(&missing);
        }
        let Ok(here) = &fetched.result else {
            return Ok(());
        };
        let file = &fetched.file;
        let word = match here.from {
            FetchedFrom::Cache => {
                self.held.add(here.size);
                "held"
            }
            FetchedFrom::Upstream => {
                self.fetched.add(here.size);
                "fetched"
            }
        };
        self.there.push((here.sha256, file.route.path()));
        if self.json {
            let known = Planned {
                sha256: Some(here.sha256),
                size: Some(here.size),
                ..file.clone()
            };
            return self.line(file_json(&known, here.from));
        }
        // A terminal has the bar.
        if self.is_terminal {
            return Ok(());
        }
        let size = in_units(here.size);
        self.line(format!("{word:8} {}  {size}", file.filename))
    }

    pub fn missing(&mut self, missing: &Missing) -> Result<(), String> {
        let project = missing.project.as_str();
        let item = &missing.item;
        let is_accepted = self.allowed.accepts([project]);
        let known = if is_accepted {
            &mut self.accepted
        } else {
            &mut self.missing
        };
        let gap = (project.to_owned(), item.clone(), missing.target.clone());
        if !known.insert(gap) {
            return Ok(());
        }
        let error = missing.why.to_string();
        if self.json {
            return self.line(json!({
                "file": item,
                "project": project,
                "version": missing.version.as_ref().map(ToString::to_string),
                "sha256": null,
                "size": null,
                "from": null,
                "error": error,
                "target": missing.target,
                "accepted": is_accepted,
            }));
        }
        let word = if is_accepted { "accepted" } else { "missing " };
        let place = match missing.place.as_str() {
            "" => String::new(),
            place => format!("  ({place})"),
        };
        let target = match &missing.target {
            Some(target) => format!(" for {target}"),
            None => String::new(),
        };
        self.line(format!("{word} {project} {item}{target}: {error}{place}"))
    }

    /// What was found to be gone again when all was done.
    pub fn settle(&mut self, fetched: &[FetchedFile]) -> Result<(), String> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        for missing in fetched.iter().filter_map(FetchedFile::missing) {
            self.missing(&missing)?;
        }
        Ok(())
    }

    /// A source distribution of which it is not known what it is built with.
    pub fn unread(&mut self, file: &Planned, why: &str) -> Result<(), String> {
        self.unread += 1;
        self.remark(&format!("{}: {why}", file.filename))
    }

    /// The table of a dry run.
    pub fn would(&mut self, held: &[FetchedFile], absent: &[Planned]) -> Result<(), String> {
        let here = held.iter().map(|one| &one.file);
        for file in here.clone().chain(absent) {
            self.would.insert(file.route.path());
        }
        if self.json {
            for file in here {
                self.line(file_json(file, FetchedFrom::Cache))?;
            }
            for file in absent {
                self.line(file_json(file, FetchedFrom::Upstream))?;
            }
        } else {
            self.by_project(absent)?;
        }
        self.held.count += held.len() as u64;
        let bytes = absent.iter().filter_map(|file| file.size).sum();
        let size = in_units(bytes);
        let absent = files(absent.len());
        let held = held.len();
        self.remark(&format!("to fetch: {absent}, {size}; held: {held}"))
    }

    fn by_project(&self, absent: &[Planned]) -> Result<(), String> {
        let mut projects: BTreeMap<&str, (Amount, usize)> = BTreeMap::new();
        for file in absent {
            let (amount, unknown) = projects.entry(file.project.as_str()).or_default();
            amount.add(file.size.unwrap_or_default());
            *unknown += usize::from(file.size.is_none());
        }
        for (project, (Amount { count, bytes }, unknown)) in projects {
            let size = in_units(bytes);
            let unknown = match unknown {
                0 => String::new(),
                _ => format!("  + {unknown} of unknown size"),
            };
            self.line(format!("{project:32} {count:6} files  {size:>12}{unknown}"))?;
        }
        Ok(())
    }

    /// How many files a set has after this run.
    pub fn noted(&self, name: &SetName, has: usize, is_whole: bool) -> Result<(), String> {
        let added = if is_whole {
            ""
        } else {
            "; not all came, so they were added to what it had"
        };
        self.remark(&format!("the set {name} has {}{added}", files(has)))
    }

    /// What a client was given; gives what of it larder vouches for, as sha256 and address.
    pub fn recorded(
        &self,
        recording: &Recording,
        set: &str,
    ) -> Result<Vec<(Digest, String)>, String> {
        let mut files = Vec::new();
        if recording.is_empty() {
            self.remark(
                "nothing was fetched: did the client use $PIP_INDEX_URL or $UV_DEFAULT_INDEX \
                 (--from says which index)? Its own cache can hide requests too: --no-cache",
            )?;
        }
        for (path, sha256) in &recording.whole {
            match sha256 {
                Some(sha256) => files.push((*sha256, path.clone())),
                None => self.remark(&format!("{path} has no sha256, and is not kept"))?,
            }
            let name = path.rsplit('/').next().unwrap_or_default();
            if self.json {
                self.line(json!({"file": name, "address": path, "sha256": sha256, "set": set}))?;
            } else {
                self.line(format!("recorded {name}"))?;
            }
        }
        Ok(files)
    }

    /// What an input names and no index can give.
    fn left_out(&mut self, left: &LeftBehind) -> Result<(), String> {
        let is_accepted = left.is_missing() && self.allowed.accepts(left.names());
        self.elsewhere += usize::from(left.is_missing() && !is_accepted);
        self.told(&left.json(is_accepted), &left.sentence(is_accepted))
    }

    /// Whether all is there.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.unread == 0 && self.elsewhere == 0 && self.outside == 0
    }

    /// The sum, and a line for each machine: for how much of what it needs there is a file.
    pub fn finish(&self, taken: &[String], target: &TargetEnvironment) -> Result<(), String> {
        for name in self.allowed.unused() {
            self.remark(&format!(
                "--allow-missing {name}: nothing of this name is missing"
            ))?;
        }
        if !self.dry {
            self.remark(&format!(
                "fetched {}, {}; {} were held, {}; {} left out; {} missing",
                counted(self.fetched.count, "file", "files"),
                in_units(self.fetched.bytes),
                self.held.count,
                in_units(self.held.bytes),
                self.filtered,
                self.missing.len() + self.elsewhere
            ))?;
        }
        for sentence in taken {
            self.remark(sentence)?;
        }
        let there: BTreeSet<&str> = self.there.iter().map(|(_, path)| path.as_str()).collect();
        let is_there = |path: &str| there.contains(path) || self.would.contains(path);
        for supply in need::supplies(target.machines(), &self.needs, &is_there) {
            let machine = &supply.target;
            let packages = supply.packages;
            let with_file = supply.with_file();
            let sentence = format!("{machine}: {with_file} of {packages} packages have a file");
            let json = json!({
                "target": machine,
                "packages": packages,
                "with_file": with_file,
                "without": supply.without,
            });
            self.told(&json, &sentence)?;
        }
        Ok(())
    }

    fn line(&self, line: impl std::fmt::Display) -> Result<(), String> {
        self.aside(|| writeln!(std::io::stdout(), "{line}"))
    }

    /// Writes with the bar out of the way.
    fn aside(&self, write: impl FnOnce() -> std::io::Result<()>) -> Result<(), String> {
        let written = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        match written {
            // What read it has heard enough (`| head`); the downloads go on.
            Err(why) if why.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|why| why.to_string()),
        }
    }
}

/// A file that is there, or would be.
fn file_json(file: &Planned, from: FetchedFrom) -> Value {
    json!({
        "file": file.filename,
        "project": file.project.as_str(),
        "version": file.version.as_ref().map(ToString::to_string),
        "sha256": file.sha256,
        "size": file.size,
        "from": from.word(),
        "error": null,
    })
}

/// So many, in words.
fn files(count: usize) -> String {
    counted(count as u64, "file", "files")
}
