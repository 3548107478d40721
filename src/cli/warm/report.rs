//! What `larder warm` prints: a bar on a terminal, a line a file elsewhere, or JSON lines; and the
//! sum at the end.
//!
//! Files go to standard output, all else to standard error. Must not know how files are fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};

use indicatif::ProgressBar;
use serde_json::json;

use super::super::bytes::counted;
use super::super::progress;
use super::allowed::Allowed;
use super::inputs::Inputs;
use super::left_out::LeftBehind;
use crate::airgap::warm::fetcher::FetchedFrom;
use crate::airgap::warm::need::{self, Need, Supply};
use crate::airgap::warm::plan::{Missing, Planned, WarmPlan};
use crate::airgap::warm::record::Recording;
use crate::airgap::warm::target::TargetEnvironment;
use crate::airgap::warm::{Event, FetchedFile};
use crate::app::CommandContext;
use crate::store::SetName;
use crate::values::byte_size::in_units;
use crate::values::digest::Digest;

/// So many names are told of a long list.
const NAMES_MAX: usize = 5;

pub(super) struct WarmReport {
    json: bool,
    dry: bool,
    is_terminal: bool,
    bar: Option<ProgressBar>,
    /// Sizes that the bar did not know beforehand.
    files: usize,
    files_done: usize,
    fetched: (usize, u64),
    held: (usize, u64),
    /// What is there now, as sha256 and address.
    there: Vec<(Digest, String)>,
    filtered: usize,
    /// What is missing, once each: the project, what of it, and for which machine.
    missing: BTreeSet<(String, String, Option<String>)>,
    allowed: Allowed,
    /// The same, of what is accepted.
    accepted: BTreeSet<(String, String, Option<String>)>,
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
    pub(super) fn new(json: bool, dry: bool, allowed: Allowed) -> Self {
        Self {
            json,
            dry,
            is_terminal: std::io::stderr().is_terminal(),
            bar: None,
            files: 0,
            files_done: 0,
            fetched: (0, 0),
            held: (0, 0),
            there: Vec::new(),
            filtered: 0,
            missing: BTreeSet::new(),
            allowed,
            accepted: BTreeSet::new(),
            needs: Vec::new(),
            would: BTreeSet::new(),
            outside: 0,
            unread: 0,
            elsewhere: 0,
        }
    }

    pub(super) fn is_dry(&self) -> bool {
        self.dry
    }

    /// A line for the person.
    pub(super) fn remark(&self, line: &str) -> Result<(), String> {
        self.aside(|| writeln!(std::io::stderr(), "{line}"))
    }

    /// What is to be said of the inputs before anything is asked for.
    pub(super) fn inputs(
        &mut self,
        inputs: &Inputs,
        context: &CommandContext,
    ) -> Result<(), String> {
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
    fn told(&self, json: &serde_json::Value, sentence: &str) -> Result<(), String> {
        if self.json {
            self.line(&json.to_string())
        } else {
            self.remark(sentence)
        }
    }

    /// Says that nothing chose the versions but their age.
    fn unlocked(&self, names: &[String], context: &CommandContext) -> Result<(), String> {
        if names.is_empty() {
            return Ok(());
        }
        let shown = names
            .iter()
            .take(NAMES_MAX)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let more = names.len().saturating_sub(NAMES_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        self.remark(&format!(
            "not locked: {shown}{more}. The newest matching files are taken, without what they depend on; to lock all of it: \
             uv pip compile --universal --generate-hashes -i http://{}{}/SOURCE/simple/ requirements.in",
            context.listen, context.path_prefix
        ))
    }

    pub(super) fn planned(&mut self, plan: &mut WarmPlan) -> Result<(), String> {
        self.needs.append(&mut plan.needs);
        self.filtered += plan.filtered.len();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for file in &plan.filtered {
            *reasons.entry(file.why.to_string()).or_default() += 1;
        }
        let (bytes, unknown) = plan.bytes();
        let unknown = if unknown > 0 {
            format!(" and {unknown} of unknown size")
        } else {
            String::new()
        };
        self.remark(&format!(
            "{}, {}{unknown}",
            files(plan.files.len()),
            in_units(bytes)
        ))?;
        for (why, count) in reasons {
            self.remark(&format!("left out: {count} {why}"))?;
        }
        Ok(())
    }

    /// The bar, or nothing where nobody could see it.
    pub(super) fn begin(&mut self, files: &[Planned]) {
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

    pub(super) fn event(&mut self, event: Event) -> Result<(), String> {
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
    pub(super) fn done(&mut self, fetched: &FetchedFile) -> Result<(), String> {
        let Ok(here) = &fetched.result else {
            return fetched
                .missing()
                .map_or(Ok(()), |missing| self.missing(&missing));
        };
        let sum = match here.from {
            FetchedFrom::Cache => &mut self.held,
            FetchedFrom::Upstream => &mut self.fetched,
        };
        *sum = (sum.0 + 1, sum.1 + here.size);
        self.there.push((here.sha256, fetched.file.route.path()));
        if self.json {
            return self.line(
                &json!({
                    "file": fetched.file.filename,
                    "project": fetched.file.project.as_str(),
                    "version": fetched.file.version.as_ref().map(ToString::to_string),
                    "sha256": here.sha256.to_string(),
                    "size": here.size,
                    "from": here.from.word(),
                    "error": null,
                })
                .to_string(),
            );
        }
        let word = if here.from == FetchedFrom::Cache {
            "held"
        } else {
            "fetched"
        };
        self.plain(&format!(
            "{word:8} {}  {}",
            fetched.file.filename,
            in_units(here.size)
        ))
    }

    pub(super) fn missing(&mut self, missing: &Missing) -> Result<(), String> {
        let is_accepted = self.allowed.accepts([missing.project.as_str()]);
        let known = if is_accepted {
            &mut self.accepted
        } else {
            &mut self.missing
        };
        if !known.insert((
            missing.project.to_string(),
            missing.item.clone(),
            missing.target.clone(),
        )) {
            return Ok(());
        }
        let error = missing.why.to_string();
        if self.json {
            return self.line(
                &json!({
                    "file": missing.item,
                    "project": missing.project.as_str(),
                    "version": missing.version.as_ref().map(ToString::to_string),
                    "sha256": null, "size": null, "from": null,
                    "error": error,
                    "target": missing.target,
                    "accepted": is_accepted,
                })
                .to_string(),
            );
        }
        let word = if is_accepted { "accepted" } else { "missing " };
        let place = if missing.place.is_empty() {
            String::new()
        } else {
            format!("  ({})", missing.place)
        };
        let target = missing
            .target
            .as_ref()
            .map(|target| format!(" for {target}"))
            .unwrap_or_default();
        self.line(&format!(
            "{word} {} {}{target}: {error}{place}",
            missing.project, missing.item
        ))
    }

    /// What was found to be gone again when all was done.
    pub(super) fn settle(&mut self, fetched: &[FetchedFile]) -> Result<(), String> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        for missing in fetched.iter().filter_map(FetchedFile::missing) {
            self.missing(&missing)?;
        }
        Ok(())
    }

    /// A source distribution of which it is not known what it is built with.
    pub(super) fn unread(&mut self, file: &Planned, why: &str) -> Result<(), String> {
        self.unread += 1;
        self.remark(&format!("{}: {why}", file.filename))
    }

    /// The table of a dry run.
    pub(super) fn would(&mut self, held: &[FetchedFile], absent: &[Planned]) -> Result<(), String> {
        self.would.extend(
            held.iter()
                .map(|one| &one.file)
                .chain(absent)
                .map(|file| file.route.path()),
        );
        if self.json {
            for (file, from) in held
                .iter()
                .map(|one| (&one.file, FetchedFrom::Cache))
                .chain(absent.iter().map(|file| (file, FetchedFrom::Upstream)))
            {
                self.line(
                    &json!({
                        "file": file.filename,
                        "project": file.project.as_str(),
                        "version": file.version.as_ref().map(ToString::to_string),
                        "sha256": file.sha256.map(|digest| digest.to_string()),
                        "size": file.size,
                        "from": from.word(),
                        "error": null,
                    })
                    .to_string(),
                )?;
            }
        } else {
            let mut projects: BTreeMap<&str, (usize, u64, usize)> = BTreeMap::new();
            for file in absent {
                let sum = projects.entry(file.project.as_str()).or_default();
                *sum = (
                    sum.0 + 1,
                    sum.1 + file.size.unwrap_or_default(),
                    sum.2 + usize::from(file.size.is_none()),
                );
            }
            for (project, (files, bytes, unknown)) in projects {
                let unknown = if unknown > 0 {
                    format!("  + {unknown} of unknown size")
                } else {
                    String::new()
                };
                self.line(&format!(
                    "{project:32} {files:6} files  {:>12}{unknown}",
                    in_units(bytes)
                ))?;
            }
        }
        let bytes: u64 = absent.iter().filter_map(|file| file.size).sum();
        self.held = (self.held.0 + held.len(), 0);
        self.remark(&format!(
            "to fetch: {}, {}; held: {}",
            files(absent.len()),
            in_units(bytes),
            held.len()
        ))
    }

    /// What is there now, as sha256 and address.
    pub(super) fn there(&self) -> &[(Digest, String)] {
        &self.there
    }

    /// How many files a set has after this run.
    pub(super) fn noted(&self, name: &SetName, has: usize, is_whole: bool) -> Result<(), String> {
        let added = if is_whole {
            ""
        } else {
            "; not all came, so they were added to what it had"
        };
        self.remark(&format!("the set {name} has {}{added}", files(has)))
    }

    /// What a client was given; gives what of it larder vouches for, as sha256 and address.
    pub(super) fn recorded(
        &self,
        recording: &Recording,
        set: &str,
    ) -> Result<Vec<(Digest, String)>, String> {
        let mut files = Vec::new();
        if recording.is_empty() {
            self.remark(
                "nothing was fetched: did the client use $PIP_INDEX_URL or $UV_DEFAULT_INDEX (--from says which index)? \
                 Its own cache can hide requests too: --no-cache",
            )?;
        }
        for (path, sha256) in &recording.whole {
            match sha256 {
                Some(sha256) => files.push((*sha256, path.clone())),
                None => self.remark(&format!("{path} has no sha256, and is not kept"))?,
            }
            let sha256 = sha256.map(|digest| digest.to_string());
            let name = path.rsplit('/').next().unwrap_or_default();
            if self.json {
                self.line(
                    &json!({"file": name, "address": path, "sha256": sha256, "set": set})
                        .to_string(),
                )?;
            } else {
                self.line(&format!("recorded {name}"))?;
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
    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.unread == 0 && self.elsewhere == 0 && self.outside == 0
    }

    /// The sum, and a line for each machine.
    pub(super) fn finish(
        &self,
        taken: &[String],
        target: &TargetEnvironment,
    ) -> Result<(), String> {
        for name in self.allowed.unused() {
            self.remark(&format!(
                "--allow-missing {name}: nothing of this name is missing"
            ))?;
        }
        if !self.dry {
            let fetched = self.fetched;
            let held = self.held;
            self.remark(&format!(
                "fetched {}, {}; {} were held, {}; {} left out; {} missing",
                files(fetched.0),
                in_units(fetched.1),
                held.0,
                in_units(held.1),
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
            self.supply(&supply)?;
        }
        Ok(())
    }

    /// For how much of what one machine needs there is a file.
    fn supply(&self, supply: &Supply) -> Result<(), String> {
        let packages = supply.packages;
        let with_file = supply.with_file();
        let json = json!({
            "target": supply.target, "packages": packages, "with_file": with_file, "without": supply.without,
        });
        self.told(
            &json,
            &format!(
                "{}: {with_file} of {packages} packages have a file",
                supply.target
            ),
        )
    }

    /// A line a file is for whoever sees no bar.
    fn plain(&self, line: &str) -> Result<(), String> {
        if self.is_terminal {
            Ok(())
        } else {
            self.line(line)
        }
    }

    fn line(&self, line: &str) -> Result<(), String> {
        self.aside(|| writeln!(std::io::stdout(), "{line}"))
    }

    /// Writes with the bar out of the way.
    fn aside(&self, write: impl FnOnce() -> std::io::Result<()>) -> Result<(), String> {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
        .map_err(|why| why.to_string())
    }
}

/// So many, in words.
fn files(count: usize) -> String {
    counted(count as u64, "file", "files")
}
