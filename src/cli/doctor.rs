//! `larder doctor`: what is wrong, or will be, each with what to do about it.
//!
//! Measures by the same code by which the daemon works; upstreams are asked side by side, and
//! nobody is waited for longer than a few seconds at a time. Owns the order of what is told. Must
//! not judge: the verdicts are pure functions in files of their own. Shows no credential and no
//! signed link.

mod beginning;
mod certificate;
mod connection;
mod daemon;
mod finding;
mod folder;
mod judgement;
mod machine;
mod peers;
mod secret_segment;

use std::sync::Arc;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::daemon::runtime;
use super::error::CommandError;
use super::invocation::{Invocation, credential};
use super::output::{print, print_event};
use crate::app::{self, DoctorInput, Transports};
use crate::registry::Scope;
use crate::store::{FolderFacts, Peek};
use crate::values::clock;
use finding::{Finding, Verdict};

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// A project in GitLab, by number or path, whose package registry is looked at as well.
    #[arg(long, value_name = "ID")]
    pub project: Option<String>,
    /// The token to ask GitLab with; without it, that of `gitlab.token_file`, or none.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<std::path::PathBuf>,
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as
    /// PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    pub user: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

impl DoctorArguments {
    fn project(&self) -> Result<Option<Scope>, String> {
        let Some(id) = &self.project else {
            return Ok(None);
        };
        let named = if id.starts_with("projects/") {
            id.clone()
        } else {
            format!("projects/{id}")
        };
        let fault = || format!("\"{id}\" is no project: 42, acme/widgets or acme%2Fwidgets");
        Scope::named(&named).map(Some).ok_or_else(fault)
    }
}

/// Examines, and prints what was found. 1 when something is a problem, the configuration included.
///
/// # Errors
/// What is wrong with the arguments, or that standard output does not take the findings.
pub fn run(arguments: &DoctorArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    let config = invocation.config();
    let credential = credential(&arguments.user, &arguments.token_file)?;
    let project = arguments.project().map_err(CommandError::Usage)?;
    let input = match config {
        Ok(config) => app::doctor_input(&config, credential).map_err(|why| why.to_string()),
        Err(CommandError::Config(faults)) => Err(faults),
        Err(why) => return Err(why),
    };
    let mut findings = Findings {
        json: arguments.json,
        worst: Verdict::Ok,
    };
    match input {
        Err(faults) => {
            let hint = "nothing else can be looked at before that is right";
            findings.print(Finding::problem("configuration", faults, hint))?;
        }
        Ok(input) => runtime()?.block_on(examine(&input, project, &mut findings))?,
    }
    findings.conclude()
}

/// What was found so far.
struct Findings {
    json: bool,
    worst: Verdict,
}

impl Findings {
    fn print(&mut self, finding: Finding) -> Result<(), CommandError> {
        self.worst = self.worst.max(finding.verdict);
        print_event(&finding, self.json, |finding| format!("{finding}\n"))?;
        Ok(())
    }

    fn print_all(
        &mut self,
        findings: impl IntoIterator<Item = Finding>,
    ) -> Result<(), CommandError> {
        for finding in findings {
            self.print(finding)?;
        }
        Ok(())
    }

    fn conclude(self) -> Result<u8, CommandError> {
        let words = match self.worst {
            Verdict::Ok => "all is well\n",
            Verdict::Warning => "it works; see the warnings\n",
            Verdict::Problem => "there is a problem\n",
        };
        if !self.json {
            print(words)?;
        }
        Ok(u8::from(self.worst == Verdict::Problem))
    }
}

async fn examine(
    input: &DoctorInput,
    project: Option<Scope>,
    findings: &mut Findings,
) -> Result<(), CommandError> {
    let readable = "it can be read, and so can the files it names";
    findings.print(Finding::ok("configuration", readable))?;
    let mut upstreams = start_upstreams(input, project);
    findings.print_all(folder(input).await)?;
    findings.print(machine::judge_open_files(
        machine::open_files(),
        input.connections,
    ))?;
    findings.print(machine::judge_memory(
        machine::memory_limit(),
        input.page_memory,
    ))?;
    if let Some(dates) = input.certificate {
        findings.print(certificate::judge(dates, clock::wall()))?;
    }
    findings.print_all(daemon::examine(&input.context, input.limit).await)?;
    if input.context.offline {
        findings.print(Finding::ok("upstreams", "offline: no upstream is asked"))?;
    }
    // In the order of the configuration, however they came.
    let mut examined = Vec::new();
    while let Some(done) = upstreams.join_next().await {
        examined.extend(done.ok());
    }
    examined.sort_by_key(|(at, _)| *at);
    for (_, found) in examined {
        findings.print_all(found)?;
    }
    Ok(())
}

/// All upstreams at once, because each may have to be waited for.
fn start_upstreams(input: &DoctorInput, project: Option<Scope>) -> JoinSet<(usize, Vec<Finding>)> {
    let mut peers = JoinSet::new();
    let Some(Transports { gitlab, mirrors }) = &input.transports else {
        return peers;
    };
    let upstream = &input.upstream;
    let limit = input.limit;
    let gitlab = peers::GitLabCheck {
        upstream: Arc::clone(upstream),
        url: input.context.bases.asked().version_url(),
        way: gitlab.clone(),
        credential: input.credential.clone(),
        project,
        limit,
    };
    peers.spawn(async move { (0, gitlab.examine().await) });
    for (at, ((base, _), way)) in input.context.mirrors.iter().zip(mirrors).enumerate() {
        let mirror = peers::MirrorCheck {
            upstream: Arc::clone(upstream),
            base: base.clone(),
            way: way.clone(),
            limit,
        };
        peers.spawn(async move { (at + 1, mirror.examine().await) });
    }
    peers
}

async fn folder(input: &DoctorInput) -> Vec<Finding> {
    let dir = input.context.cache_dir.clone();
    let look = tokio::task::spawn_blocking(move || {
        let taken = Peek::at(&dir)
            .and_then(|peek| peek.taken().ok())
            .unwrap_or_default();
        FolderFacts::find(&dir).map(|facts| (facts, taken))
    });
    let dir = &input.context.cache_dir;
    match timeout(input.limit, look).await {
        Ok(Ok(Ok((facts, taken)))) => {
            let user = rustix::process::geteuid().as_raw();
            folder::judge(&facts, dir, input.cache_size, taken, user)
        }
        Ok(Ok(Err(why))) => {
            vec![Finding::problem(
                "cache folder",
                why,
                "set another cache_dir, or let this user look into it",
            )]
        }
        Ok(Err(_)) => vec![Finding::problem(
            "cache folder",
            "it could not be looked at",
            "run it again",
        )],
        Err(_) => vec![Finding::problem(
            "cache folder",
            format!(
                "the disk did nothing for {}",
                humantime::format_duration(input.limit)
            ),
            "the disk or the share below it hangs: look at the kernel's log",
        )],
    }
}
