//! `larder doctor`: what is wrong, or will be, each with what to do about it.
//!
//! Measures by the same code by which the daemon works; upstreams are asked side by side, and nobody is waited for longer
//! than a few seconds at a time. Owns the order of what is told. Must not judge: the verdicts are pure functions in files
//! of their own. Shows no credential and no signed link.

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

use super::lines::{CommandError, json_line, say};
use crate::app::{Patient, Ways};
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
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    pub user: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

impl DoctorArguments {
    /// # Errors
    /// When the project is none.
    pub fn check(&self) -> Result<(), String> {
        self.project().map(|_| ())
    }

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

/// Examines, and says what was found. 1 when something is a problem.
///
/// # Errors
/// When nobody takes what there is to say.
pub async fn doctor(
    asked: &DoctorArguments,
    patient: Result<Patient, String>,
) -> Result<u8, CommandError> {
    let mut worst = Verdict::Ok;
    let mut tell = |findings: Vec<Finding>| -> Result<(), CommandError> {
        for finding in findings {
            worst = worst.max(finding.verdict);
            say(&if asked.json {
                json_line(&finding)?
            } else {
                format!("{finding}\n")
            })?;
        }
        Ok(())
    };
    match patient {
        Err(why) => {
            let why = why
                .trim_start_matches("bad configuration")
                .trim()
                .to_owned();
            tell(vec![Finding::problem(
                "configuration",
                why,
                "nothing else can be looked at before that is right",
            )])?;
        }
        Ok(patient) => {
            tell(vec![Finding::ok(
                "configuration",
                "it can be read, and so can the files it names",
            )])?;
            let project = asked.project().map_err(CommandError::Usage)?;
            let mut peers = start_peers(&patient, project);
            tell(folder(&patient).await)?;
            tell(vec![
                machine::judge_open_files(machine::open_files(), patient.connections),
                machine::judge_memory(machine::memory_limit(), patient.page_memory),
            ])?;
            tell(
                patient
                    .certificate
                    .map(|dates| certificate::judge(dates, clock::wall()))
                    .into_iter()
                    .collect(),
            )?;
            tell(daemon::examine(&patient.ground, patient.limit).await)?;
            if patient.ground.offline {
                tell(vec![Finding::ok("upstreams", "offline: nobody is asked")])?;
            }
            // In the order of the configuration, however they came.
            let mut done = Vec::new();
            while let Some(examined) = peers.join_next().await {
                done.extend(examined.ok());
            }
            done.sort_by_key(|(at, _)| *at);
            for (_, findings) in done {
                tell(findings)?;
            }
        }
    }
    let words = match worst {
        Verdict::Ok => "all is well\n",
        Verdict::Warning => "it works; see the warnings\n",
        Verdict::Problem => "there is a problem\n",
    };
    if !asked.json {
        say(words)?;
    }
    Ok(u8::from(worst == Verdict::Problem))
}

/// Everybody at once, because each may have to be waited for.
fn start_peers(patient: &Patient, project: Option<Scope>) -> JoinSet<(usize, Vec<Finding>)> {
    let mut peers = JoinSet::new();
    let Some(Ways { gitlab, mirrors }) = &patient.ways else {
        return peers;
    };
    let (upstream, limit) = (&patient.upstream, patient.limit);
    let gitlab = peers::GitLabCheck {
        upstream: Arc::clone(upstream),
        url: patient.ground.bases.asked().version_url(),
        way: gitlab.clone(),
        credential: patient.credential.clone(),
        project,
        limit,
    };
    peers.spawn(async move { (0, gitlab.examine().await) });
    for (at, ((base, _), way)) in patient.ground.mirrors.iter().zip(mirrors).enumerate() {
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

async fn folder(patient: &Patient) -> Vec<Finding> {
    let dir = patient.ground.cache_dir.clone();
    let look = tokio::task::spawn_blocking(move || {
        let taken = Peek::at(&dir)
            .and_then(|peek| peek.taken().ok())
            .unwrap_or_default();
        FolderFacts::find(&dir).map(|facts| (facts, taken))
    });
    let dir = &patient.ground.cache_dir;
    match timeout(patient.limit, look).await {
        Ok(Ok(Ok((facts, taken)))) => {
            let user = rustix::process::geteuid().as_raw();
            folder::judge(&facts, dir, patient.cache_size, taken, user)
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
                humantime::format_duration(patient.limit)
            ),
            "the disk or the share below it hangs: look at the kernel's log",
        )],
    }
}
