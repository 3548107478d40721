//! `larder warm`: fetches what inputs name, through the daemon that holds the folder.
//!
//! Owns the arguments and the order of what is done. Must not know how the daemon is put together
//! or reached: it is handed a client of it. Nothing of a package is executed.

mod allowed;
mod inputs;
mod left_out;
mod outside;
mod report;
mod set;
mod taken;
mod unserved;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::daemon::{CtrlC, with_daemon};
use super::error::CommandError;
use super::invocation::{Invocation, context, credential};
use crate::access::Credential;
use crate::airgap::lockfile::{self, GroupChoice};
use crate::airgap::warm::Warm;
use crate::airgap::warm::fetcher::{DaemonClient, DaemonFetcher};
use crate::airgap::warm::plan::{WarmPlan, plan};
use crate::airgap::warm::record::{Recorder, exit_code};
use crate::airgap::warm::selection::{Sdists, SelectionRules};
use crate::airgap::warm::target::TargetEnvironment;
use crate::app::CommandContext;
use crate::control;
use crate::registry::Scope;
use crate::simple::ProjectName;
use crate::store::SetName;
use allowed::Allowed;
use inputs::Inputs;
use report::WarmReport;

/// News on their way to the screen.
const NEWS_MAX: usize = 1024;

/// The most requests at once: an upstream that is asked for more at a time throttles.
const JOBS_MAX: u16 = 64;

#[derive(Debug, Args)]
pub struct WarmArguments {
    /// Lock files, `-` for one on standard input, or requirements such as `name` and `name==1.2`.
    #[arg(
        required_unless_present = "record",
        conflicts_with = "record",
        value_name = "INPUT"
    )]
    pub inputs: Vec<String>,
    /// Where from, the first choice first: a mirror's name, projects/ID, groups/ID. A lock file's
    /// URLs may say it too.
    #[arg(long, value_name = "SOURCE")]
    pub from: Vec<String>,
    /// A file with the token to ask with.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as
    /// PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    pub user: Option<String>,
    /// Only what these Pythons take: 3.11,3.12. Without it, every Python's.
    #[arg(long, value_name = "RELEASES", value_delimiter = ',')]
    pub python: Vec<String>,
    /// Only what these machines take: manylinux_2_28_x86_64,win_amd64,macosx_14_0_arm64. A level
    /// includes the older ones.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Only this implementation: cp, pp or py.
    #[arg(long, value_name = "TAG")]
    pub implementation: Option<String>,
    /// Only these ABIs, as cp313t.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub abi: Vec<String>,
    /// No source distributions.
    #[arg(long, conflicts_with = "sdists")]
    pub wheels_only: bool,
    /// Which source distributions.
    #[arg(long, value_enum, default_value_t = SdistChoice::Also)]
    pub sdists: SdistChoice,
    /// Of a lock's groups only this one, beside the project's own dependencies; may be repeated.
    /// Without it, all.
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// Not this group; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub no_group: Vec<String>,
    /// Not the groups dev and develop.
    #[arg(long)]
    pub no_dev: bool,
    /// Of a lock's extras only this one; may be repeated. Without it, all.
    #[arg(long, value_name = "NAME")]
    pub extra: Vec<String>,
    /// Not this extra; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub no_extra: Vec<String>,
    /// What may be missing: a project, or the URL or path of an entry; @FILE for a list of them,
    /// one a line. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub allow_missing: Vec<String>,
    /// Fetch what the source distributions say they are built with, in the newest version that
    /// matches.
    #[arg(long)]
    pub build_deps: bool,
    /// Yanked files too; those that a lock file names by hash are fetched anyway.
    #[arg(long)]
    pub include_yanked: bool,
    /// Only what was uploaded before this date, as 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "DATE")]
    pub before: Option<String>,
    /// Pre-releases too.
    #[arg(long)]
    pub pre: bool,
    /// The newest so many versions of what is not pinned.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub latest: Option<u16>,
    /// All versions of what is not pinned.
    #[arg(long, conflicts_with = "latest")]
    pub all_versions: bool,
    /// Requests at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)))]
    pub jobs: u16,
    /// Only say what would be fetched; pages are read for it.
    #[arg(long)]
    pub dry_run: bool,
    /// Print a line of JSON for each file, for each entry that no index can give, and for each
    /// machine.
    #[arg(long)]
    pub json: bool,
    /// Name the files as a set, which `larder export --set` writes and `larder gc` keeps: these and
    /// no others when all are there; when some are missing, the others are added to what it has.
    #[arg(long, value_name = "NAME", conflicts_with = "record")]
    pub set: Option<String>,
    /// Run a client with an index of its own in front of the daemon, and name what it fetches as a
    /// set: `larder warm --record ci --from pypi -- uv sync`. A client that fails adds to the set.
    #[arg(long, value_name = "SET", requires = "client")]
    pub record: Option<String>,
    /// Where the recording index listens.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:0",
        requires = "record"
    )]
    pub listen: String,
    /// The client and its arguments.
    #[arg(last = true, value_name = "CLIENT", requires = "record")]
    pub client: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SdistChoice {
    Also,
    Never,
    IfNoWheel,
}

/// The daemon over its control socket.
impl DaemonClient for control::Client {
    async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, String> {
        let request = request.map(|_| control::empty());
        control::Client::send(self, request)
            .await
            .map_err(|why| why.to_string())
    }
}

/// An input that was understood, before any daemon is looked for.
struct Prepared {
    inputs: Inputs,
    allowed: Allowed,
    from: Vec<Scope>,
    asked: BTreeMap<ProjectName, Vec<Scope>>,
    rules: SelectionRules,
    /// Where to note what was fetched.
    set: Option<SetName>,
}

/// 0 when all is there, 1 when something is missing; with `--record` the client's own exit code.
///
/// # Errors
/// What is wrong with the arguments, or that there is no way to a daemon.
pub fn run(arguments: &WarmArguments, invocation: &Invocation) -> Result<u8, CommandError> {
    let config = invocation.config()?;
    let context = context(&config)?;
    let credential = credential(&arguments.user, &arguments.token_file)?;
    let prepared = prepare(arguments, &context).map_err(CommandError::Usage)?;
    let ctrl_c = match arguments.record {
        Some(_) => CtrlC::EndsChild,
        None => CtrlC::EndsCommand,
    };
    with_daemon(&config, ctrl_c, async |client, how_far| {
        let client = client.clone();
        if arguments.record.is_some() {
            let code = record(arguments, prepared, &context, client, &credential).await;
            return code.map_err(CommandError::Refused);
        }
        how_far.note("what is there stays, and the next run goes on from it");
        let done = warm(arguments, prepared, &context, client, &credential).await;
        let is_whole = done.map_err(CommandError::Refused)?;
        Ok(u8::from(!is_whole))
    })
}

/// Reads the arguments and the inputs.
///
/// # Errors
/// A sentence about how they cannot be used.
fn prepare(arguments: &WarmArguments, context: &CommandContext) -> Result<Prepared, String> {
    let rules = selection_rules(arguments)?;
    let set = arguments
        .set
        .as_ref()
        .or(arguments.record.as_ref())
        .map(|name| SetName::parse(name));
    let set = set.transpose().map_err(|why| why.to_string())?;
    let mut from = Vec::new();
    for text in &arguments.from {
        from.push(inputs::source(text, context)?);
    }
    let choice = GroupChoice::new(
        &arguments.group,
        &arguments.no_group,
        &arguments.extra,
        &arguments.no_extra,
        arguments.no_dev,
    );
    let inputs = inputs::read(&arguments.inputs, context, &choice, &rules.target)?;
    if from.is_empty() {
        from.clone_from(&inputs.indexes);
    }
    let file =
        |name: &str| inputs::text_of(name)?.ok_or_else(|| format!("{name}: there is no such file"));
    let allowed = Allowed::read(&arguments.allow_missing, &file)?;
    let asked = inputs::scopes(&inputs.wanted, &from, &inputs.unserved, context)?;
    Ok(Prepared {
        inputs,
        allowed,
        from,
        asked,
        rules,
        set,
    })
}

fn selection_rules(arguments: &WarmArguments) -> Result<SelectionRules, String> {
    let target = TargetEnvironment::parse(
        &arguments.python,
        &arguments.platform,
        arguments.implementation.as_deref(),
        &arguments.abi,
    );
    let before = arguments.before.as_deref().map(date).transpose()?;
    Ok(SelectionRules {
        target: target.map_err(|why| why.to_string())?,
        sdists: match arguments.sdists {
            _ if arguments.wheels_only => Sdists::Never,
            SdistChoice::Also => Sdists::Also,
            SdistChoice::Never => Sdists::Never,
            SdistChoice::IfNoWheel => Sdists::IfNoWheel,
        },
        yanked: arguments.include_yanked,
        before,
        prereleases: arguments.pre,
        newest: if arguments.all_versions {
            Some(usize::MAX)
        } else {
            arguments.latest.map(usize::from)
        },
    })
}

/// Fetches; true when all is there.
///
/// # Errors
/// When nothing can be printed.
async fn warm(
    arguments: &WarmArguments,
    mut prepared: Prepared,
    context: &CommandContext,
    client: control::Client,
    credential: &Credential,
) -> Result<bool, String> {
    let mut fields = HeaderMap::new();
    credential.apply(&mut fields);
    let warm = Arc::new(Warm {
        asker: DaemonFetcher::new(client.clone(), fields, context.path_prefix.clone()),
        jobs: usize::from(arguments.jobs),
        cache_dir: context.cache_dir.clone(),
    });
    let mut report = WarmReport::new(
        arguments.json,
        arguments.dry_run,
        std::mem::take(&mut prepared.allowed),
    );
    report.inputs(&prepared.inputs, context)?;
    let pages = warm.pages(&prepared.asked).await;
    let first = plan(&prepared.inputs.wanted, &pages, &prepared.rules);
    let sdists: Vec<_> = first
        .files
        .iter()
        .filter(|file| !file.is_wheel())
        .cloned()
        .collect();
    round(&warm, first, &mut report).await?;
    if arguments.build_deps && arguments.dry_run {
        report.remark(
            "--build-deps: what source distributions are built with is known once they are here",
        )?;
    } else if arguments.build_deps && !sdists.is_empty() {
        let built = build_requirements(&warm, &sdists, &prepared, &mut report).await?;
        round(&warm, built, &mut report).await?;
    }
    let is_whole = report.is_whole();
    if let (Some(name), false) = (&prepared.set, arguments.dry_run) {
        let has = set::write(&client, name, report.there(), is_whole).await?;
        report.noted(name, has, is_whole)?;
    }
    report.finish(&prepared.inputs.taken, &prepared.rules.target)?;
    Ok(is_whole)
}

/// Runs a client and notes what it fetched; its exit code.
///
/// # Errors
/// When it cannot be run.
async fn record(
    arguments: &WarmArguments,
    prepared: Prepared,
    context: &CommandContext,
    client: control::Client,
    credential: &Credential,
) -> Result<u8, String> {
    let mut fields = HeaderMap::new();
    credential.apply(&mut fields);
    let asker = DaemonFetcher::new(client.clone(), fields.clone(), context.path_prefix.clone());
    let listening = Recorder::bind(
        &arguments.listen,
        client.clone(),
        fields,
        context.path_prefix.clone(),
    )
    .await;
    let recorder =
        listening.map_err(|why| format!("cannot listen on {}: {why}", arguments.listen))?;
    let ran = recorder.run(&arguments.client, prepared.from.first()).await;
    let (status, mut recording) = ran.map_err(|why| {
        format!(
            "cannot run {}: {why}",
            arguments.client.first().map_or("", String::as_str)
        )
    })?;
    let report = WarmReport::new(arguments.json, false, Allowed::default());
    // A client that reads a part has it in mind to use the whole.
    let parts: Vec<_> = recording.incomplete().cloned().collect();
    for route in parts {
        match asker.file(&route, |_| (), |_| ()).await {
            Ok(got) => drop(recording.whole.insert(route.path(), Some(got.sha256))),
            Err(why) => report.remark(&format!("{route}: {why}"))?,
        }
    }
    let files = report.recorded(&recording, arguments.record.as_deref().unwrap_or_default())?;
    if let (Some(name), false) = (&prepared.set, files.is_empty()) {
        let is_whole = status.success() && files.len() == recording.count();
        report.noted(
            name,
            set::write(&client, name, &files, is_whole).await?,
            is_whole,
        )?;
    }
    Ok(exit_code(status))
}

/// One plan, told and carried out.
async fn round(
    warm: &Arc<Warm<control::Client>>,
    mut plan: WarmPlan,
    report: &mut WarmReport,
) -> Result<(), String> {
    report.planned(&mut plan)?;
    for missing in &plan.missing {
        report.missing(missing)?;
    }
    let (held, absent) = warm.sort(plan.files).await;
    if report.is_dry() {
        return report.would(&held, &absent);
    }
    for file in &held {
        report.done(file)?;
    }
    report.begin(&absent);
    let (sender, mut news) = mpsc::channel(NEWS_MAX);
    let mut fetching = std::pin::pin!(warm.fetch(&absent, &sender));
    let fetched = loop {
        tokio::select! {
            Some(event) = news.recv() => report.event(event)?,
            fetched = &mut fetching => break fetched,
        }
    };
    while let Ok(event) = news.try_recv() {
        report.event(event)?;
    }
    report.settle(&fetched)
}

/// The newest wheels of what source distributions say they need; not what those need in turn.
async fn build_requirements(
    warm: &Arc<Warm<control::Client>>,
    sdists: &[crate::airgap::warm::plan::Planned],
    prepared: &Prepared,
    report: &mut WarmReport,
) -> Result<WarmPlan, String> {
    let mut wanted = Vec::new();
    for (sdist, requires) in warm.build_requires(sdists).await {
        let texts = match requires {
            Ok(texts) => texts,
            Err(why) => {
                report.unread(&sdist, &why)?;
                continue;
            }
        };
        for text in texts {
            match lockfile::read_name(&text, &sdist.filename) {
                Ok(reading) => wanted.extend(reading.wanted),
                Err(why) => report.unread(&sdist, &why.to_string())?,
            }
        }
    }
    let mut scopes: Vec<Scope> = prepared.from.clone();
    for scope in sdists.iter().filter_map(|sdist| sdist.route.scope()) {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    let asked = wanted
        .iter()
        .map(|one| (one.project.clone(), scopes.clone()))
        .collect();
    let pages = warm.pages(&asked).await;
    let rules = SelectionRules {
        sdists: Sdists::IfNoWheel,
        newest: None,
        ..prepared.rules.clone()
    };
    Ok(plan(&wanted, &pages, &rules))
}

fn date(text: &str) -> Result<std::time::SystemTime, String> {
    let full = if text.len() == "2026-01-31".len() {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    humantime::parse_rfc3339(&full).map_err(|_| {
        format!("--before {text}: is no date such as 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}
