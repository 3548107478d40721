//! `larder audit`: what of the cache, of a set or of lock files is known to be malware or
//! vulnerable by now.
//!
//! Owns the arguments and what is said. Nothing is removed, and no upstream is asked. Must not know
//! how records are read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::bytes::counted;
use super::daemon::{CtrlC, used_folder, with_daemon};
use super::output::{json_line, print, remark};
use super::warm::text_of;
use super::{CommandError, CommandResult, Invocation};
use crate::airgap::lockfile::{self, Surroundings};
use crate::airgap::wanted::{WantedFiles, WantedProject, WantedVersions};
use crate::app::advisory_records;
use crate::app::config::Config;
use crate::control::{Listed, Ls};
use crate::registry::{Advisory, AdvisorySet, Release, Severity};
use crate::simple::{ProjectName, file_version, usual_project};

/// Names that are told of what is not compared.
const NAMED_MAX: usize = 5;

#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Lock files or requirements with pins, `-` for one on standard input. Without any: what is
    /// cached.
    #[arg(value_name = "LOCK", conflicts_with = "set")]
    locks: Vec<String>,
    /// The files of this set, as `larder warm --set` made it.
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// The records to go by, in place of `policy.advisories`: a folder, a zip, or a file of lines.
    #[arg(long, value_name = "PATH")]
    advisories: Option<PathBuf>,
    /// The least severity of a vulnerability that is named; malware always is. Without it
    /// `policy.min_severity`.
    #[arg(long, value_name = "LEVEL")]
    min_severity: Option<Level>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Unrated,
    Low,
    Medium,
    High,
    Critical,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Unrated => Self::Unrated,
            Level::Low => Self::Low,
            Level::Medium => Self::Medium,
            Level::High => Self::High,
            Level::Critical => Self::Critical,
        }
    }
}

/// Something that is known to be bad.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Finding {
    /// `malware` or `vulnerability`.
    kind: &'static str,
    project: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    /// The lock file, or the address that larder serves the file under.
    place: String,
}

/// What was looked at.
#[derive(Default)]
struct Audit {
    findings: BTreeSet<Finding>,
    looked_at: u64,
    /// What a lock does not pin to a version.
    unpinned: BTreeSet<String>,
}

/// 0 if nothing is known to be bad, 1 if something is.
///
/// # Errors
/// When there are no records, a lock cannot be read, or there is no way to a daemon.
pub fn run(arguments: &AuditArguments, invocation: &Invocation) -> CommandResult {
    let mut config = invocation.config()?;
    if let Some(path) = &arguments.advisories {
        config.policy.advisories = path.display().to_string();
    }
    let least = arguments.min_severity.map(Severity::from);
    let least = least.unwrap_or(config.policy.min_severity);
    let records = advisory_records(&config).map_err(CommandError::refused)?;
    let set = records.and_then(|records| records.feed.set());
    let Some(set) = set else {
        return Err(CommandError::usage(
            "there are no records to go by: say --advisories PATH, or set policy.advisories",
        ));
    };
    let auditor = Auditor { set: &set, least };
    if arguments.locks.is_empty() {
        return auditor.cache(arguments, &config, invocation);
    }
    let mut audit = Audit::default();
    for name in &arguments.locks {
        let found = auditor.lock(name, &mut audit);
        found.map_err(CommandError::Usage)?;
    }
    report(&audit, arguments, "pinned package", "pinned packages")
}

struct Auditor<'s> {
    set: &'s AdvisorySet,
    least: Severity,
}

impl Auditor<'_> {
    fn lock(&self, name: &str, audit: &mut Audit) -> Result<(), String> {
        let mut surroundings = Surroundings {
            read: &mut |path| text_of(path)?.ok_or_else(|| "there is no such file".to_owned()),
            variable: &|name| std::env::var(name).ok(),
        };
        let contents = match text_of(name)? {
            Some(text) => lockfile::read(name, &text, &mut surroundings),
            None => lockfile::read_name(name, name),
        };
        for wanted in contents.map_err(|why| why.to_string())?.wanted {
            self.wanted(&wanted, audit);
        }
        Ok(())
    }

    fn wanted(&self, wanted: &WantedProject, audit: &mut Audit) {
        let place = &wanted.place;
        if let WantedVersions::Exactly(version) = &wanted.versions {
            audit.looked_at += 1;
            let version = version.to_string();
            self.release(&wanted.project, Some(&version), place, audit);
            return;
        }
        let WantedFiles::Named(files) = &wanted.files else {
            audit.unpinned.insert(wanted.project.to_string());
            return;
        };
        audit.looked_at += 1;
        for file in files {
            let version = file_version(&file.filename, &wanted.project);
            self.release(&wanted.project, version, place, audit);
        }
    }

    /// Adds what is known of a release; without a version, of a file that does not tell it.
    fn release(
        &self,
        project: &ProjectName,
        version: Option<&str>,
        place: &str,
        audit: &mut Audit,
    ) {
        let release = version.map(Release::parse);
        for advisory in self.set.of(project) {
            if self.counts(advisory) && advisory.affects(release.as_ref()) {
                audit.findings.insert(Finding {
                    kind: kind(advisory),
                    project: project.to_string(),
                    version: version.map(str::to_owned),
                    id: advisory.telling_id().to_owned(),
                    severity: severity(advisory),
                    place: place.to_owned(),
                });
            }
        }
    }

    fn counts(&self, advisory: &Advisory) -> bool {
        advisory.is_malware() || advisory.severity >= self.least
    }

    /// What is cached, or the files of a set.
    fn cache(
        &self,
        arguments: &AuditArguments,
        config: &Config,
        invocation: &Invocation,
    ) -> CommandResult {
        used_folder(config)?;
        let set = arguments.set.clone();
        with_daemon(config, invocation, CtrlC::EndsCommand, async |client, _| {
            let mut events = client.run(&Ls { what: None, set }).await?;
            let mut audit = Audit::default();
            while let Some(file) = events.next().await? {
                if file.is_held || arguments.set.is_some() {
                    audit.looked_at += 1;
                    self.file(&file, &mut audit);
                }
            }
            report(&audit, arguments, "file", "files")
        })
    }

    fn file(&self, file: &Listed, audit: &mut Audit) {
        let mut names = BTreeSet::new();
        names.extend(usual_project(&file.filename));
        names.extend(ProjectName::parse(&file.project).ok());
        for name in names {
            let version = file_version(&file.filename, &name);
            self.release(&name, version, &file.address, audit);
        }
    }
}

fn kind(advisory: &Advisory) -> &'static str {
    match advisory.is_malware() {
        true => "malware",
        false => "vulnerability",
    }
}

fn severity(advisory: &Advisory) -> Option<Severity> {
    match advisory.is_malware() {
        true => None,
        false => Some(advisory.severity),
    }
}

fn report(audit: &Audit, arguments: &AuditArguments, one: &str, many: &str) -> CommandResult {
    for finding in &audit.findings {
        let text = match arguments.json {
            true => json_line(finding)?,
            false => in_words(finding),
        };
        print(&text)?;
    }
    if !audit.unpinned.is_empty() {
        let named: Vec<&str> = audit.unpinned.iter().map(String::as_str).collect();
        let shown = named[..named.len().min(NAMED_MAX)].join(", ");
        let more = if named.len() > NAMED_MAX { ", …" } else { "" };
        remark(&format!(
            "not compared, because no version is pinned: {shown}{more}"
        ));
    }
    if !arguments.json {
        let looked_at = counted(audit.looked_at, one, many);
        let found = audit.findings.len() as u64;
        print(&match found {
            0 => format!("nothing is known to be bad among {looked_at}\n"),
            _ => format!(
                "{} among {looked_at}\n",
                counted(found, "finding", "findings")
            ),
        })?;
    }
    Ok(u8::from(!audit.findings.is_empty()))
}

fn in_words(finding: &Finding) -> String {
    let version = finding.version.as_deref().unwrap_or("(no version told)");
    let severity = match finding.severity {
        Some(severity) => format!(" ({severity})"),
        None => String::new(),
    };
    format!(
        "{}: {} {version}: {}{severity}  {}\n",
        finding.kind, finding.project, finding.id, finding.place
    )
}
