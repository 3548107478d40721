//! `larder doctor`: what is wrong, or will be, each with what to do about it.
//!
//! Measures by the same code by which the daemon works; upstreams are asked side by side, and
//! none is waited for longer than a few seconds at a time. Owns the order of what is told. Must not
//! judge: the verdicts are pure functions in files of their own. Shows no credential and no signed
//! link.

mod agreement;
mod beginning;
mod certificate;
mod connection;
mod daemon;
mod finding;
mod folder;
mod judgement;
mod machine;
mod page_links;
mod peers;
mod secret_segment;
mod shared_store;

use std::sync::Arc;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::daemon::runtime;
use super::error::{CommandError, CommandResult};
use super::in_force::config_in_force;
use super::invocation::{Invocation, credential};
use super::output::{print, print_event};
use super::socket_units;
use crate::access::Credential;
use crate::app::config::Config;
use crate::app::{self, DoctorInput, Transports};
use crate::registry::Scope;
use crate::store::{FolderFacts, Peek};
use crate::upstream::{PUBLIC_INDEX, Transport, Upstream};
use crate::values::clock;
use crate::values::correlation;
use finding::{Finding, Verdict};

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// A project in GitLab, by number or path, whose package registry is looked at as well.
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// The token to ask GitLab with; without it, that of `gitlab.token_file`, or none.
    #[arg(long, value_name = "FILE")]
    token_file: Option<std::path::PathBuf>,
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as
    /// PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    user: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

fn project(id: &str) -> Result<Scope, CommandError> {
    let number = id.strip_prefix("projects/").unwrap_or(id);
    match Scope::named(&format!("projects/{number}")) {
        Some(scope) => Ok(scope),
        None => Err(CommandError::Usage(format!(
            "\"{id}\" is no project: 42, acme/widgets or acme%2Fwidgets"
        ))),
    }
}

/// Examines, and prints what was found. 1 when something is a problem, the configuration included.
///
/// # Errors
/// What is wrong with the arguments, or that standard output does not take the findings.
pub fn run(arguments: &DoctorArguments, invocation: &Invocation) -> CommandResult {
    let config = config_in_force(invocation);
    let credential = credential(&arguments.user, &arguments.token_file)?;
    let project = match &arguments.project {
        Some(id) => Some(project(id)?),
        None => None,
    };
    let mut contradictions = Vec::new();
    let mut expired = Vec::new();
    let mut open = Vec::new();
    let input = match config {
        Ok(found) => {
            let file = found.config.provenance.file.as_deref();
            contradictions = socket_units::contradictions(&found.config, file);
            expired = found.config.expired_exceptions();
            open = found.config.open_secrets();
            let input = app::doctor_input(&found.config, credential);
            let input = input.map_err(|why| why.to_string());
            input.map(|input| (input, found.whose, found.remark))
        }
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
        Ok((input, whose, remark)) => {
            let check = "configuration";
            let found = format!("{whose}; it can be read, and so can the files it names");
            findings.print(Finding::ok(check, found))?;
            if let Some((found, advice)) = remark {
                findings.print(Finding::warning("configuration file", found, advice))?;
            }
            runtime()?.block_on(examine(&input, project, &mut findings))?;
        }
    }
    for found in expired {
        let advice = "its files are judged as if it were not there";
        findings.print(Finding::warning("exceptions", found, advice))?;
    }
    for found in open {
        findings.print(Finding::warning("secret files", found, "chmod o-r"))?;
    }
    for contradiction in contradictions {
        let found = contradiction.found;
        findings.print(Finding::warning("listen", found, contradiction.advice))?;
    }
    findings.conclude()
}

/// Asks the upstreams of a configuration alone, for a page each, and prints what was found.
///
/// # Errors
/// What is wrong with the configuration, or that standard output does not take the findings.
pub fn check_upstreams(config: &Config) -> CommandResult {
    let input = app::doctor_input(config, Credential::anonymous())?;
    let mut findings = Findings {
        json: false,
        worst: Verdict::Ok,
    };
    runtime()?.block_on(async {
        let upstreams = start_upstreams(&input, None);
        print_upstreams(upstreams, &mut findings).await
    })?;
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

    fn conclude(self) -> CommandResult {
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

/// In the order of the configuration, however they came.
async fn print_upstreams(
    mut upstreams: Examining,
    findings: &mut Findings,
) -> Result<(), CommandError> {
    let mut examined = Vec::new();
    while let Some(done) = upstreams.join_next().await {
        examined.extend(done);
    }
    examined.sort_by_key(|(place, _)| *place);
    for (_, (section, found)) in examined {
        for finding in found {
            findings.print(finding.of(&section))?;
        }
    }
    Ok(())
}

async fn examine(
    input: &DoctorInput,
    project: Option<Scope>,
    findings: &mut Findings,
) -> Result<(), CommandError> {
    let upstreams = start_upstreams(input, project);
    for finding in folder(input).await {
        findings.print(finding)?;
    }
    let open_files = machine::open_files();
    findings.print(machine::judge_open_files(open_files, input.connections))?;
    let memory = machine::memory_limit();
    findings.print(machine::judge_memory(memory, input.page_memory))?;
    if let Some(dates) = input.certificate {
        findings.print(certificate::judge(dates, clock::wall()))?;
    }
    for finding in daemon::examine(&input.context, input.limit).await {
        findings.print(finding)?;
    }
    if input.context.offline {
        findings.print(Finding::ok("upstreams", "offline: no upstream is asked"))?;
    }
    if let Some(followed) = &input.followed {
        let found = format!("GitLab's redirects are followed: {followed}");
        findings.print(Finding::ok("public index", found))?;
    }
    print_upstreams(upstreams, findings).await
}

/// What was found of upstreams, each by its place and its section in the configuration. What
/// belongs to a parent is told after it.
type Examining = JoinSet<([usize; 2], (String, Vec<Finding>))>;

/// All upstreams at once, because each may have to be waited for.
fn start_upstreams(input: &DoctorInput, project: Option<Scope>) -> Examining {
    let mut examining = JoinSet::new();
    let Some(Transports { gitlab, mirrors }) = &input.transports else {
        return examining;
    };
    let prober = prober(input, &input.upstream);
    if input.parents.is_empty() {
        let check = gitlab_check(input, &input.upstream, gitlab, project);
        examining.spawn(async move { ([0, 0], ("gitlab".to_owned(), check.examine().await)) });
    } else {
        start_parents(input, gitlab, project, &mut examining);
    }
    let first = input.parents.len() + 1;
    for (at, ((base, _), way)) in input.context.mirrors.iter().zip(mirrors).enumerate() {
        let section = match base.scope().to_string().as_str() {
            PUBLIC_INDEX if !base.is_parents() => "public index".to_owned(),
            name => format!("mirrors.{name}"),
        };
        if base.is_parents() {
            continue;
        }
        let mirror = peers::MirrorCheck {
            prober: prober.clone(),
            base: base.clone(),
            way: way.clone(),
            section: section.clone(),
        };
        examining.spawn(async move { ([first + at, 0], (section, mirror.examine().await)) });
    }
    let last = first + input.context.mirrors.len();
    if let Some(check) = shared_store_check(input, prober) {
        let section = "shared_store".to_owned();
        examining.spawn(async move { ([last, 0], (section, check.examine().await)) });
    }
    examining
}

fn prober(input: &DoctorInput, upstream: &Arc<Upstream>) -> peers::Prober {
    peers::Prober {
        upstream: Arc::clone(upstream),
        limit: input.limit,
    }
}

fn gitlab_check(
    input: &DoctorInput,
    upstream: &Arc<Upstream>,
    way: &Transport,
    project: Option<Scope>,
) -> peers::GitLabCheck {
    peers::GitLabCheck {
        prober: prober(input, upstream),
        url: upstream.bases().asked().version_url(),
        way: way.clone(),
        credential: input.credential.clone(),
        project,
        is_parent: !input.parents.is_empty(),
        asks_dates: input.context.index.upload_dates,
        dates_token: input.dates_token.clone(),
    }
}

/// Each parent by itself, the mirrors that are asked of it, and whether all serve the same.
fn start_parents(
    input: &DoctorInput,
    way: &Transport,
    project: Option<Scope>,
    examining: &mut Examining,
) {
    let several = input.parents.len() > 1;
    let mut probers = Vec::new();
    for (at, (url, upstream)) in input.parents.iter().enumerate() {
        let check = gitlab_check(input, upstream, way, project.clone());
        let section = match several {
            true => format!("parent {url}"),
            false => "parent".to_owned(),
        };
        let mut mirrors = Vec::new();
        for (base, _) in &input.context.mirrors {
            // The public index's pages are given in the place of the parent's own alone.
            let has_pages = base.scope().to_string() != PUBLIC_INDEX;
            if base.is_parents() && has_pages && base.is_served_at(url) {
                mirrors.push(base.scope().clone());
            }
        }
        let prober = prober(input, upstream);
        probers.push((url.clone(), prober.clone()));
        examining.spawn(async move { ([at, 0], (section, check.examine().await)) });
        for (place, scope) in mirrors.into_iter().enumerate() {
            let section = match several {
                true => format!("{scope} of the parent {url}"),
                false => format!("the parent's mirror {scope}"),
            };
            let mirror = peers::ParentsMirrorCheck {
                prober: prober.clone(),
                scope,
            };
            examining.spawn(async move { ([at, place + 1], (section, mirror.examine().await)) });
        }
    }
    if several {
        let check = peers::AgreementCheck { probers };
        let last = input.parents.len();
        examining.spawn(async move { ([last, 0], ("parent".to_owned(), check.examine().await)) });
    }
}

fn shared_store_check(
    input: &DoctorInput,
    prober: peers::Prober,
) -> Option<shared_store::SharedStoreCheck> {
    let way = input.shared_store.as_ref()?;
    Some(shared_store::SharedStoreCheck {
        prober,
        config: input.context.shared_store.clone(),
        way: way.clone(),
    })
}

async fn folder(input: &DoctorInput) -> Vec<Finding> {
    let dir = input.context.cache_dir.clone();
    let look = correlation::spawn_blocking(move || {
        let taken = match Peek::at(&dir) {
            Some(peek) => peek.taken().unwrap_or_default(),
            None => 0,
        };
        FolderFacts::find(&dir).map(|facts| (facts, taken))
    });
    let (found, advice) = match timeout(input.limit, look).await {
        Ok(Ok(Ok((facts, taken)))) => {
            let dir = &input.context.cache_dir;
            let user = rustix::process::geteuid().as_raw();
            return folder::judge(&facts, dir, input.cache_size, taken, user);
        }
        Ok(Ok(Err(why))) => (why, "set another cache_dir, or let this user look into it"),
        Ok(Err(_)) => ("it could not be looked at".to_owned(), "run it again"),
        Err(_) => (
            format!(
                "the disk did nothing for {}",
                humantime::format_duration(input.limit)
            ),
            "the disk or the share below it hangs: look at the kernel's log",
        ),
    };
    vec![Finding::problem("cache folder", found, advice)]
}
