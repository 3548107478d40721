//! Which command does what, and with which exit code it ends. `serve` is not among them.
//!
//! Owns the way to the daemon: a running one, one that is started inside this process, or none. Must not know what a
//! command prints.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app;
use crate::app::config::{Config, Overrides};
use crate::cli::{
    self, Cli, Command, CommandError, ConfigCommand, ConfigShowArguments, DoctorArguments,
    ExplainArguments, HowFar, RefreshArguments, RewriteLockArguments, WarmArguments,
};
use crate::control::Client;
use crate::log::LogConfig;
use crate::values::clock;
use crate::values::validity::Judgement;

/// Exit code for bad configuration; scripts tell it from a daemon that could not start.
pub const BAD_CONFIG: u8 = 64;

/// Exit code after Ctrl-C, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Exit code for arguments that mean nothing, as clap has it.
const BAD_USAGE: u8 = 2;

/// Exit code when the answer is no.
const NO: u8 = 1;

/// An exit code, and what is said with it.
pub type Failure = (u8, String);

/// Runs a command to its end.
///
/// # Errors
/// The exit code of a failure, and a sentence.
pub fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    let (file, overrides) = (cli.config.as_deref(), cli.overrides());
    let load = || Config::load(file, &overrides).map_err(|why| bad_config(&why));
    let done = Ok(ExitCode::SUCCESS);
    match &cli.command {
        Command::Serve(_) => Err((BAD_USAGE, "serve is no command that ends".to_owned())),
        Command::CheckConfig => check_config(file, &load()?),
        Command::Explain(asked) => explain(asked, &load()?),
        Command::Warm(asked) => warm(asked, &load()?),
        Command::RewriteLock(asked) => rewrite_lock(asked, &load()?),
        Command::Export(asked) => {
            asked.check().map_err(|why| (BAD_USAGE, why))?;
            with_daemon(&load()?, CtrlC::Ends, async |client, how_far| {
                cli::export(asked, client, how_far).await
            })
        }
        Command::Import(asked) => {
            asked.check().map_err(|why| (BAD_USAGE, why))?;
            with_daemon(&load()?, CtrlC::Ends, async |client, how_far| {
                cli::import(asked, client, how_far).await
            })
        }
        Command::Stats(asked) => with_daemon(&load()?, CtrlC::Ends, async |client, _| {
            cli::stats(asked, client).await
        }),
        Command::Ls(asked) => with_daemon(&load()?, CtrlC::Ends, async |client, _| {
            cli::ls(asked, client).await
        }),
        Command::Verify(asked) => with_daemon(&load()?, CtrlC::Ends, async |client, how_far| {
            cli::verify(asked, client, how_far).await
        }),
        Command::Gc(asked) => with_daemon(&load()?, CtrlC::Ends, async |client, _| {
            cli::gc(asked, client).await
        }),
        Command::Purge(asked) => {
            let config = load()?;
            let ground = app::ground(&config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
            let what = asked.target(&ground).map_err(|why| (BAD_USAGE, why))?;
            with_daemon(&config, CtrlC::Ends, async |client, _| {
                cli::purge(asked, what, client).await
            })
        }
        Command::Doctor(asked) => doctor(asked, load()),
        Command::Refresh(asked) => refresh(asked, &load()?),
        Command::Revoke(asked) => with_running(
            &folder(file, &overrides)?,
            "nothing was revoked: rights live in a daemon's memory",
            async |client| cli::revoke(asked, client).await,
        ),
        Command::LogLevel(asked) => with_running(
            &folder(file, &overrides)?,
            "there is no log to change",
            async |client| cli::log_level(asked, client).await,
        ),
        Command::Health(asked) => {
            // An address needs no folder.
            let folder = if asked.url.is_some() {
                PathBuf::new()
            } else {
                folder(file, &overrides)?
            };
            ended(runtime()?.block_on(cli::health(asked, &folder)))
        }
        Command::Config(ConfigCommand::Show(asked)) => config_show(asked, file, &overrides),
        Command::Config(ConfigCommand::Init(asked)) => {
            cli::config_init(asked).map_err(|why| (NO, why.to_string()))?;
            done
        }
        Command::Completions(asked) => {
            cli::completions(asked, Cli::command()).map_err(|why| (NO, why.to_string()))?;
            done
        }
        Command::Man(asked) => {
            cli::man(asked, Cli::command()).map_err(|why| (NO, why.to_string()))?;
            done
        }
    }
}

/// As a failure of whoever wrote the configuration.
pub fn bad_config(why: &dyn std::fmt::Display) -> Failure {
    (BAD_CONFIG, format!("bad configuration\n{why}"))
}

/// The cache folder, for what a running daemon is asked: it is as good as it was when the file on the disk is no more.
fn folder(file: Option<&Path>, overrides: &Overrides) -> Result<PathBuf, Failure> {
    let (folder, why) = Config::folder(file, overrides).map_err(|why| bad_config(&why))?;
    if let Some(why) = why {
        // Nobody is left to be told if this fails.
        let _ = writeln!(
            std::io::stderr(),
            "larder: of a bad configuration only cache_dir was taken\n{why}"
        );
    }
    Ok(folder)
}

/// Beside what a command prints, so that nothing that reads its output is disturbed.
fn remark_on_the_environment() {
    for remark in Config::environment_remarks() {
        // Nobody is left to be told if this fails.
        let _ = writeln!(std::io::stderr(), "larder: {remark}");
    }
}

fn check_config(file: Option<&Path>, config: &Config) -> Result<ExitCode, Failure> {
    let faults = app::unusable_files(config);
    if !faults.is_empty() {
        return Err(bad_config(&faults.join("\n")));
    }
    remark_on_the_environment();
    remark_on_the_certificate(config)?;
    let of = file.map_or_else(
        || "no file was given (--config): the defaults".to_owned(),
        |file| file.display().to_string(),
    );
    print(&format!("the configuration is good: {of}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Says until when larder's own certificate is good, and that it ends soon; one that clients refuse is a fault.
fn remark_on_the_certificate(config: &Config) -> Result<(), Failure> {
    let Some(validity) = app::certificate_validity(config).map_err(|why| bad_config(&why))? else {
        return Ok(());
    };
    let judgement = validity.judge(clock::wall());
    let until = humantime::format_rfc3339_seconds(validity.until());
    let told = format!("tls.certificate: it {judgement} ({until})");
    match judgement {
        Judgement::Good { .. } => print(&format!("{told}\n"))?,
        Judgement::EndsSoon { .. } => {
            // Nobody is left to be told if this fails.
            let _ = writeln!(std::io::stderr(), "larder: warning: {told}: renew it");
        }
        Judgement::Expired { .. } | Judgement::NotYet { .. } => {
            return Err(bad_config(&format!("{told}: clients refuse it")));
        }
    }
    Ok(())
}

fn config_show(
    asked: &ConfigShowArguments,
    file: Option<&Path>,
    overrides: &Overrides,
) -> Result<ExitCode, Failure> {
    let effective = Config::effective(file, overrides).map_err(|why| bad_config(&why))?;
    remark_on_the_environment();
    for value in effective
        .iter()
        .filter(|value| !asked.changed || value.is_changed)
    {
        let line = if asked.json {
            cli::json_line(value)
        } else {
            Ok(format!("{value}\n"))
        };
        print(&line.map_err(|why| (NO, why.to_string()))?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn refresh(asked: &RefreshArguments, config: &Config) -> Result<ExitCode, Failure> {
    let ground = app::ground(config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
    let what = asked.target(&ground).map_err(|why| (BAD_USAGE, why))?;
    let credential = app::caller(asked.user.as_deref(), asked.token_file.as_deref());
    let credential = credential.map_err(|why| (BAD_USAGE, why.to_string()))?;
    with_daemon(config, CtrlC::Ends, async |client, _| {
        cli::refresh(asked, what, &credential, client).await
    })
}

/// 1 when something is a problem, the configuration among it.
fn doctor(asked: &DoctorArguments, config: Result<Config, Failure>) -> Result<ExitCode, Failure> {
    let credential = app::caller(asked.user.as_deref(), asked.token_file.as_deref());
    let credential = credential.map_err(|why| (BAD_USAGE, why.to_string()))?;
    let patient = match config {
        Ok(config) => app::patient(&config, credential).map_err(|why| why.to_string()),
        Err((_, why)) => Err(why),
    };
    asked.check().map_err(|why| (BAD_USAGE, why))?;
    ended(runtime()?.block_on(cli::doctor(asked, patient)))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new().map_err(|why| (NO, why.to_string()))
}

fn ended(done: Result<u8, CommandError>) -> Result<ExitCode, Failure> {
    done.map(ExitCode::from)
        .map_err(|why| (failure(&why), why.to_string()))
}

/// Does something by way of a daemon that runs by itself; where there is none, `without` says what that means.
fn with_running(
    folder: &Path,
    without: &str,
    work: impl AsyncFnOnce(&Client) -> Result<u8, CommandError>,
) -> Result<ExitCode, Failure> {
    ended(runtime()?.block_on(async {
        match Client::connect(folder).await {
            Ok(client) => work(&client).await,
            Err(why) => {
                let place = folder.display();
                let hint = "is it another folder (--config, --cache-dir)?";
                Err(CommandError::Refused(format!(
                    "no daemon answers for {place}: {without}; {hint} ({why})"
                )))
            }
        }
    }))
}

/// Whom Ctrl-C is for. SIGTERM is always for this process.
enum CtrlC {
    Ends,
    /// It goes to a program that the command runs as well: that ends, and the command after it.
    PassesBy,
}

/// Ctrl-C and SIGTERM, which end no process by themselves while this is there.
struct Interruption {
    ctrl_c: CtrlC,
    interrupt: Signal,
    terminate: Signal,
}

impl Interruption {
    fn listen(ctrl_c: CtrlC) -> std::io::Result<Self> {
        let (interrupt, terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        Ok(Self {
            ctrl_c,
            interrupt,
            terminate,
        })
    }

    async fn comes(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv(), if matches!(self.ctrl_c, CtrlC::Ends) => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Does something by way of the daemon that holds the cache folder, which is started inside this process if nobody
/// runs it. Interrupted, it leaves off, and ends such a daemon in order.
fn with_daemon(
    config: &Config,
    ctrl_c: CtrlC,
    work: impl AsyncFnOnce(&Client, &HowFar) -> Result<u8, CommandError>,
) -> Result<ExitCode, Failure> {
    // Of the daemon's own log only what a person at a terminal has to know.
    let log = LogConfig {
        level: "warn".to_owned(),
        ..config.log.clone()
    };
    let _log = crate::log::start(&log).map_err(|why| (BAD_CONFIG, why))?;
    raise_open_files();
    runtime()?.block_on(async {
        let mut interruption = Interruption::listen(ctrl_c).map_err(|why| (1, why.to_string()))?;
        let how_far = HowFar::default();
        let interrupted = || CommandError::Interrupted(how_far.sentence());
        let reached = tokio::select! {
            reached = app::reach(config) => {
                reached.map_err(|why| (if why.is_config() { BAD_CONFIG } else { 1 }, why.to_string()))?
            }
            () = interruption.comes() => return Err((INTERRUPTED, interrupted().to_string())),
        };
        let done = tokio::select! {
            done = work(reached.client(), &how_far) => done,
            () = interruption.comes() => Err(interrupted()),
        };
        // Others may use this daemon: the next one ends the wait for them.
        interruption.ctrl_c = CtrlC::Ends;
        tokio::select! {
            () = reached.stop() => {}
            () = interruption.comes() => {}
        }
        ended(done)
    })
}

fn failure(why: &CommandError) -> u8 {
    match why {
        CommandError::Usage(_) => BAD_USAGE,
        CommandError::Interrupted(_) => INTERRUPTED,
        CommandError::Client(_) | CommandError::Output(_) | CommandError::Refused(_) => 1,
    }
}

/// 0 for a yes, 1 for a no.
fn explain(asked: &ExplainArguments, config: &Config) -> Result<ExitCode, Failure> {
    let ground = app::ground(config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
    let credential = app::caller(asked.user.as_deref(), asked.token_file.as_deref())
        .map_err(|why| (BAD_USAGE, why.to_string()))?;
    let told = runtime()?.block_on(cli::explain(asked, &ground, &credential));
    let told = told.map_err(|why| (BAD_USAGE, why))?;
    print(&told.text)?;
    Ok(ExitCode::from(u8::from(told.is_no)))
}

/// 0 when all is there, 1 when something is missing.
fn warm(asked: &WarmArguments, config: &Config) -> Result<ExitCode, Failure> {
    let ground = app::ground(config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
    let credential = app::caller(asked.user.as_deref(), asked.token_file.as_deref());
    let credential = credential.map_err(|why| (BAD_USAGE, why.to_string()))?;
    let prepared = cli::prepare(asked, &ground).map_err(|why| (BAD_USAGE, why))?;
    let ctrl_c = if asked.record.is_some() {
        CtrlC::PassesBy
    } else {
        CtrlC::Ends
    };
    with_daemon(config, ctrl_c, async |client, how_far| {
        let client = client.clone();
        if asked.record.is_some() {
            let code = cli::record(asked, prepared, &ground, client, &credential).await;
            return code.map_err(CommandError::Refused);
        }
        how_far.note("what is there stays, and the next run goes on from it");
        let done = cli::warm(asked, prepared, &ground, client, &credential).await;
        done.map(|is_whole| u8::from(!is_whole))
            .map_err(CommandError::Refused)
    })
}

/// 1 if there were URLs and none of them was to be changed.
fn rewrite_lock(asked: &RewriteLockArguments, config: &Config) -> Result<ExitCode, Failure> {
    let ground = app::ground(config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
    let done = cli::rewrite_lock(asked, &ground).map_err(|why| (BAD_USAGE, why))?;
    print(&done.text)?;
    // Nobody is left to be told if this fails.
    let _ = std::io::stderr().write_all(done.report.as_bytes());
    Ok(ExitCode::from(u8::from(done.in_vain)))
}

/// Each client takes a socket and often a file: as many as the system lets us have.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(why) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    ) {
        tracing::warn!(%why, "cannot raise the limit of open files");
    }
}

/// Each connection takes a socket, and a download a file; some more are larder's own.
pub fn warn_of_few_files(connections: usize) {
    let needed = connections.saturating_mul(2).saturating_add(64);
    let most = getrlimit(Resource::Nofile)
        .current
        .and_then(|most| usize::try_from(most).ok());
    if let Some(most) = most.filter(|most| *most < needed) {
        tracing::warn!(
            most,
            needed,
            "fewer open files are allowed than limits.connections may need: clients beyond them wait; raise the limit \
             (LimitNOFILE=, ulimit -Hn) or lower limits.connections"
        );
    }
}

/// Prints to standard output.
///
/// # Errors
/// When nobody takes it.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|why| (1, why.to_string()))
}
