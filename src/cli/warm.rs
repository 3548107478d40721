//! `larder warm`: fetches what inputs name, through the daemon that holds the folder.
//!
//! Owns the arguments and the order of what is done. Must not know how the daemon is put together
//! or reached: it is handed a client of it. Nothing of a package is executed.

mod allowed;
mod inputs;
mod left_out;
mod outside;
mod report;
mod taken;
mod unserved;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use http::HeaderMap;
use tokio::sync::mpsc;

use super::daemon::{CtrlC, deliver, with_daemon};
use super::error::{CommandError, CommandResult};
use super::invocation::{Invocation, credential};
use super::share::share;
use crate::airgap::lockfile::{self, GroupChoice};
use crate::airgap::warm::Warm;
use crate::airgap::warm::fetcher::DaemonFetcher;
use crate::airgap::warm::plan::{Planned, WarmPlan, plan};
use crate::airgap::warm::record::{Recorder, exit_code};
use crate::airgap::warm::selection::{Sdists, SelectionRules};
use crate::airgap::warm::target::TargetEnvironment;
use crate::airgap::{WriteSet, set_body};
use crate::app::{CommandContext, command_context};
use crate::control::{Client, Share, whole};
use crate::registry::Scope;
use crate::simple::ProjectName;
use crate::store::SetName;
use crate::values::digest::Digest;
use allowed::Allowed;
use inputs::Inputs;
pub use inputs::text_of;
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
    inputs: Vec<String>,
    /// Where from, the first choice first: a mirror's name, projects/ID, groups/ID. A lock file's
    /// URLs may say it too.
    #[arg(long, value_name = "SOURCE")]
    from: Vec<String>,
    /// A file with the token to ask with.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The user name that belongs to the token: it is then sent as a Basic password, otherwise as
    /// PRIVATE-TOKEN.
    #[arg(long, value_name = "NAME", requires = "token_file")]
    user: Option<String>,
    /// Only what these Pythons take: 3.11,3.12. Without it, every Python's.
    #[arg(long, value_name = "RELEASES", value_delimiter = ',')]
    python: Vec<String>,
    /// Only what these machines take: manylinux_2_28_x86_64,win_amd64,macosx_14_0_arm64. A level
    /// includes the older ones.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    platform: Vec<String>,
    /// Only this implementation: cp, pp or py.
    #[arg(long, value_name = "TAG")]
    implementation: Option<String>,
    /// Only these ABIs, as cp313t.
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    abi: Vec<String>,
    /// No source distributions.
    #[arg(long, conflicts_with = "sdists")]
    wheels_only: bool,
    /// Which source distributions.
    #[arg(long, value_enum, default_value_t = SdistChoice::Also)]
    sdists: SdistChoice,
    /// Of a lock's groups only this one, beside the project's own dependencies; may be repeated.
    /// Without it, all.
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Not this group; may be repeated.
    #[arg(long, value_name = "NAME")]
    no_group: Vec<String>,
    /// Not the groups dev and develop.
    #[arg(long)]
    no_dev: bool,
    /// Of a lock's extras only this one; may be repeated. Without it, all.
    #[arg(long, value_name = "NAME")]
    extra: Vec<String>,
    /// Not this extra; may be repeated.
    #[arg(long, value_name = "NAME")]
    no_extra: Vec<String>,
    /// What may be missing: a project, or the URL or path of an entry; @FILE for a list of them,
    /// one a line. May be repeated.
    #[arg(long, value_name = "NAME")]
    allow_missing: Vec<String>,
    /// Fetch what the source distributions say they are built with, in the newest version that
    /// matches.
    #[arg(long)]
    build_deps: bool,
    /// Yanked files too; those that a lock file names by hash are fetched anyway.
    #[arg(long)]
    include_yanked: bool,
    /// Only what was uploaded before this date, as 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "DATE")]
    before: Option<String>,
    /// Pre-releases too.
    #[arg(long)]
    pre: bool,
    /// The newest so many versions of what is not pinned.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    latest: Option<u16>,
    /// All versions of what is not pinned.
    #[arg(long, conflicts_with = "latest")]
    all_versions: bool,
    /// Requests at once.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)),
    )]
    jobs: u16,
    /// Upload what is cached to the shared store afterwards.
    #[arg(long, conflicts_with = "dry_run")]
    to_shared: bool,
    /// Only say what would be fetched; pages are read for it.
    #[arg(long)]
    dry_run: bool,
    /// Print a line of JSON for each file, for each entry that no index can give, and for each
    /// machine.
    #[arg(long)]
    json: bool,
    /// Name the files as a set, which `larder export --set` writes and `larder gc` keeps: these and
    /// no others when all are there; when some are missing, the others are added to what it has.
    #[arg(long, value_name = "NAME", conflicts_with = "record")]
    set: Option<String>,
    /// Run a client with an index of its own in front of the daemon, and name what it fetches as a
    /// set: `larder warm --record ci --from pypi -- uv sync`. A client that fails adds to the set.
    #[arg(long, value_name = "SET", requires = "client")]
    record: Option<String>,
    /// Where the recording index listens.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:0",
        requires = "record"
    )]
    listen: String,
    /// The client and its arguments.
    #[arg(last = true, value_name = "CLIENT", requires = "record")]
    client: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SdistChoice {
    Also,
    Never,
    IfNoWheel,
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
    /// The fields of the credential to ask with.
    fields: HeaderMap,
}

impl Prepared {
    fn fetcher(&self, context: &CommandContext, client: &Client) -> DaemonFetcher {
        let prefix = context.path_prefix.clone();
        DaemonFetcher::new(client.clone(), self.fields.clone(), prefix)
    }
}

/// 0 when all is there, 1 when something is missing; with `--record` the client's own exit code.
///
/// # Errors
/// What is wrong with the arguments, or that there is no way to a daemon.
pub fn run(arguments: &WarmArguments, invocation: &Invocation) -> CommandResult {
    let config = invocation.config()?;
    let context = command_context(&config)?;
    let mut fields = HeaderMap::new();
    credential(&arguments.user, &arguments.token_file)?.apply(&mut fields);
    let prepared = prepare(arguments, &context, fields).map_err(CommandError::Usage)?;
    let ctrl_c = match arguments.record {
        Some(_) => CtrlC::EndsChild,
        None => CtrlC::EndsCommand,
    };
    with_daemon(&config, invocation, ctrl_c, async |client, how_far| {
        let done = match &arguments.record {
            Some(set) => record(arguments, set, prepared, &context, client).await,
            None => {
                how_far.note("what is there stays, and the next run goes on from it");
                warm(arguments, prepared, &context, client).await
            }
        };
        let code = done.map_err(CommandError::Refused)?;
        if arguments.to_shared {
            share(client, &Share::default(), arguments.json).await?;
        }
        Ok(code)
    })
}

/// Reads the arguments and the inputs.
///
/// # Errors
/// A sentence about how they cannot be used.
fn prepare(
    arguments: &WarmArguments,
    context: &CommandContext,
    fields: HeaderMap,
) -> Result<Prepared, String> {
    let rules = selection_rules(arguments)?;
    let mut set = None;
    if let Some(name) = arguments.set.as_ref().or(arguments.record.as_ref()) {
        set = Some(SetName::parse(name).map_err(|why| why.to_string())?);
    }
    let mut from = Vec::new();
    for text in &arguments.from {
        let source = inputs::source(text, context)?;
        if arguments.record.is_some() && context.sources.view(&source).is_some() {
            return Err(format!(
                "--from {text}: pages are kept under the addresses of a view's sources, and a recorded client \
                 has one index: name one of them"
            ));
        }
        from.push(source);
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
    Ok(Prepared {
        allowed: Allowed::read(&arguments.allow_missing, &|name| {
            inputs::text_of(name)?.ok_or_else(|| format!("{name}: there is no such file"))
        })?,
        asked: inputs::scopes(&inputs.wanted, &from, &inputs.unserved, context)?,
        inputs,
        from,
        rules,
        set,
        fields,
    })
}

fn selection_rules(arguments: &WarmArguments) -> Result<SelectionRules, String> {
    let target = TargetEnvironment::parse(
        &arguments.python,
        &arguments.platform,
        arguments.implementation.as_deref(),
        &arguments.abi,
    );
    let before = match &arguments.before {
        Some(text) => Some(date(text)?),
        None => None,
    };
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
        newest: match arguments.latest {
            _ if arguments.all_versions => Some(usize::MAX),
            latest => latest.map(usize::from),
        },
    })
}

/// Fetches; 0 when all is there.
///
/// # Errors
/// When nothing can be printed.
async fn warm(
    arguments: &WarmArguments,
    mut prepared: Prepared,
    context: &CommandContext,
    client: &Client,
) -> Result<u8, String> {
    let warm = Arc::new(Warm {
        asker: prepared.fetcher(context, client),
        jobs: usize::from(arguments.jobs),
        cache_dir: context.cache_dir.clone(),
    });
    let allowed = std::mem::take(&mut prepared.allowed);
    let mut report = WarmReport::new(arguments.json, arguments.dry_run, allowed);
    report.inputs(&prepared.inputs, context)?;
    let pages = warm.pages(&prepared.asked).await;
    let first = plan(&prepared.inputs.wanted, &pages, &prepared.rules);
    let mut sdists = first.files.clone();
    sdists.retain(|file| !file.is_wheel());
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
    if !arguments.dry_run {
        note(&prepared.set, &report, &report.there, is_whole, client).await?;
    }
    report.finish(&prepared.inputs.taken, &prepared.rules.target)?;
    Ok(u8::from(!is_whole))
}

/// Runs a client and notes what it fetched; its exit code.
///
/// # Errors
/// When it cannot be run.
async fn record(
    arguments: &WarmArguments,
    set: &str,
    prepared: Prepared,
    context: &CommandContext,
    client: &Client,
) -> Result<u8, String> {
    let fetcher = prepared.fetcher(context, client);
    let listen = &arguments.listen;
    let prefix = context.path_prefix.clone();
    let recorder = Recorder::bind(listen, client.clone(), prepared.fields, prefix)
        .await
        .map_err(|why| format!("cannot listen on {listen}: {why}"))?;
    let ran = recorder.run(&arguments.client, prepared.from.first()).await;
    let (status, mut recording) = ran.map_err(|why| {
        let program = arguments.client.first().map_or("", String::as_str);
        format!("cannot run {program}: {why}")
    })?;
    let report = WarmReport::new(arguments.json, false, Allowed::default());
    // A client that reads a part has it in mind to use the whole.
    let parts: Vec<_> = recording.incomplete().cloned().collect();
    for route in parts {
        match fetcher.file(&route, |_| (), |_| ()).await {
            Ok(got) => drop(recording.whole.insert(route.path(), Some(got.sha256))),
            Err(why) => report.remark(&format!("{route}: {why}"))?,
        }
    }
    let files = report.recorded(&recording, set)?;
    if !files.is_empty() {
        let is_whole = status.success() && files.len() == recording.count();
        note(&prepared.set, &report, &files, is_whole, client).await?;
    }
    Ok(exit_code(status))
}

/// Makes a set of these files, as sha256 and address: `is_whole` says that they are all that
/// belongs to it, otherwise it keeps what it has beside them.
///
/// # Errors
/// Why it could not be written.
async fn note(
    set: &Option<SetName>,
    report: &WarmReport,
    files: &[(Digest, String)],
    is_whole: bool,
    client: &Client,
) -> Result<(), String> {
    let Some(name) = set else {
        return Ok(());
    };
    let body = whole(set_body(name, is_whole, files));
    let why = match deliver::<WriteSet>(client, body).await {
        Ok(Some(written)) => return report.noted(name, written.files, is_whole),
        Ok(None) => "the daemon did not say so".to_owned(),
        Err(why) => why.to_string(),
    };
    Err(format!("the set {name} cannot be written: {why}"))
}

/// One plan, told and carried out.
async fn round(
    warm: &Arc<Warm>,
    mut plan: WarmPlan,
    report: &mut WarmReport,
) -> Result<(), String> {
    report.planned(&mut plan)?;
    for missing in &plan.missing {
        report.missing(missing)?;
    }
    let (held, absent) = warm.sort(plan.files).await;
    if report.dry {
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
    warm: &Arc<Warm>,
    sdists: &[Planned],
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
    let mut scopes = prepared.from.clone();
    for sdist in sdists {
        if let Some(scope) = sdist.route.scope()
            && !scopes.contains(scope)
        {
            scopes.push(scope.clone());
        }
    }
    let mut asked = BTreeMap::new();
    for one in &wanted {
        asked.insert(one.project.clone(), scopes.clone());
    }
    let pages = warm.pages(&asked).await;
    let rules = SelectionRules {
        sdists: Sdists::IfNoWheel,
        newest: None,
        ..prepared.rules.clone()
    };
    Ok(plan(&wanted, &pages, &rules))
}

fn date(text: &str) -> Result<SystemTime, String> {
    let mut full = text.to_owned();
    if text.len() == "2026-01-31".len() {
        full.push_str("T00:00:00Z");
    }
    humantime::parse_rfc3339(&full).map_err(|_| {
        format!("--before {text}: is no date such as 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}
