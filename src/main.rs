//! Arguments in, exit code out. Everything else is the library's.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use larder::app::{self, App};
use larder::cli::{
    self, Cli, Command, CommandError, ConfigCommand, ExplainArguments, HowFar, RewriteLockArguments,
    WarmArguments, banner,
};
use larder::config::Config;
use larder::control::Client;
use larder::telemetry::LogConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code for bad configuration; scripts tell it from a daemon that could not start.
const BAD_CONFIG: u8 = 64;

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Exit code for arguments that mean nothing, as clap has it.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err((code, why)) => {
            // Nobody is left to be told if this fails.
            let _ = writeln!(std::io::stderr(), "larder: {why}");
            ExitCode::from(code)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, (u8, String)> {
    let (file, overrides) = (cli.config.as_deref(), cli.overrides());
    let bad = |why: &dyn std::fmt::Display| (BAD_CONFIG, format!("bad configuration\n{why}"));
    let load = || Config::load(file, &overrides).map_err(|why| bad(&why));
    match &cli.command {
        Command::Serve(_) => {
            let config = load()?;
            let _log = larder::telemetry::start(&config.log).map_err(|why| bad(&why))?;
            raise_open_files();
            let runtime = tokio::runtime::Runtime::new().map_err(|why| (1, why.to_string()))?;
            runtime.block_on(serve(config))?;
        }
        Command::CheckConfig => {
            let config = load()?;
            let faults = app::unusable_files(&config);
            if !faults.is_empty() {
                return Err(bad(&faults.join("\n")));
            }
            print("the configuration is good\n")?;
        }
        Command::Explain(asked) => {
            return explain(asked, &load()?);
        }
        Command::Warm(asked) => {
            return warm(asked, &load()?);
        }
        Command::Export(asked) => {
            asked.check().map_err(|why| (BAD_USAGE, why))?;
            return with_daemon(&load()?, CtrlC::Ends, async |client, how_far| {
                cli::export(asked, client, how_far).await
            });
        }
        Command::Import(asked) => {
            asked.check().map_err(|why| (BAD_USAGE, why))?;
            return with_daemon(&load()?, CtrlC::Ends, async |client, how_far| {
                cli::import(asked, client, how_far).await
            });
        }
        Command::Stats(asked) => {
            return with_daemon(&load()?, CtrlC::Ends, async |client, _| cli::stats(asked, client).await);
        }
        Command::Ls(asked) => {
            return with_daemon(&load()?, CtrlC::Ends, async |client, _| cli::ls(asked, client).await);
        }
        Command::Verify(asked) => {
            return with_daemon(&load()?, CtrlC::Ends, async |client, how_far| {
                cli::verify(asked, client, how_far).await
            });
        }
        Command::Gc(asked) => {
            return with_daemon(&load()?, CtrlC::Ends, async |client, _| cli::gc(asked, client).await);
        }
        Command::Purge(asked) => {
            let config = load()?;
            let ground = app::ground(&config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
            let what = asked.target(&ground).map_err(|why| (BAD_USAGE, why))?;
            return with_daemon(&config, CtrlC::Ends, async |client, _| {
                cli::purge(asked, what, client).await
            });
        }
        Command::RewriteLock(asked) => {
            return rewrite_lock(asked, &load()?);
        }
        Command::Config(ConfigCommand::Show) => {
            print(&Config::show(file, &overrides).map_err(|why| bad(&why))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
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
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { ctrl_c, interrupt, terminate })
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
) -> Result<ExitCode, (u8, String)> {
    // Of the daemon's own log only what a person at a terminal has to know.
    let log = LogConfig { level: "warn".to_owned(), ..config.log.clone() };
    let _log = larder::telemetry::start(&log).map_err(|why| (BAD_CONFIG, why))?;
    raise_open_files();
    let runtime = tokio::runtime::Runtime::new().map_err(|why| (1, why.to_string()))?;
    runtime.block_on(async {
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
        done.map(ExitCode::from).map_err(|why| (failure(&why), why.to_string()))
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
fn explain(asked: &ExplainArguments, config: &Config) -> Result<ExitCode, (u8, String)> {
    let ground = app::ground(config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
    let credential = app::caller(asked.user.as_deref(), asked.token_file.as_deref())
        .map_err(|why| (BAD_USAGE, why.to_string()))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|why| (1, why.to_string()))?;
    let told = runtime.block_on(cli::explain(asked, &ground, &credential));
    let told = told.map_err(|why| (BAD_USAGE, why))?;
    print(&told.text)?;
    Ok(ExitCode::from(u8::from(told.is_no)))
}

/// 0 when all is there, 1 when something is missing.
fn warm(asked: &WarmArguments, config: &Config) -> Result<ExitCode, (u8, String)> {
    let ground = app::ground(config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
    let credential = app::caller(asked.user.as_deref(), asked.token_file.as_deref());
    let credential = credential.map_err(|why| (BAD_USAGE, why.to_string()))?;
    let prepared = cli::prepare(asked, &ground).map_err(|why| (BAD_USAGE, why))?;
    let ctrl_c = if asked.record.is_some() { CtrlC::PassesBy } else { CtrlC::Ends };
    with_daemon(config, ctrl_c, async |client, how_far| {
        let client = client.clone();
        if asked.record.is_some() {
            let code = cli::record(asked, prepared, &ground, client, &credential).await;
            return code.map_err(CommandError::Refused);
        }
        how_far.note("what is there stays, and the next run goes on from it");
        let done = cli::warm(asked, prepared, &ground, client, &credential).await;
        done.map(|is_whole| u8::from(!is_whole)).map_err(CommandError::Refused)
    })
}

/// 1 if there were URLs and none of them was to be changed.
fn rewrite_lock(asked: &RewriteLockArguments, config: &Config) -> Result<ExitCode, (u8, String)> {
    let ground = app::ground(config).map_err(|why| (BAD_CONFIG, why.to_string()))?;
    let done = cli::rewrite_lock(asked, &ground).map_err(|why| (BAD_USAGE, why))?;
    print(&done.text)?;
    // Nobody is left to be told if this fails.
    let _ = std::io::stderr().write_all(done.report.as_bytes());
    Ok(ExitCode::from(u8::from(done.in_vain)))
}

async fn serve(config: Config) -> Result<(), (u8, String)> {
    let app = App::start(config)
        .await
        .map_err(|why| (if why.is_config() { BAD_CONFIG } else { 1 }, why.to_string()))?;
    let told = |why: std::io::Error| (1, why.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(told)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(told)?;
    print(&banner(&app.address(), app.gitlab(), &app.cache_dir().display()))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: running downloads are finished first");
    app.stop().await;
    Ok(())
}

/// Each client takes a socket and often a file: as many as the system lets us have.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(why) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%why, "cannot raise the limit of open files");
    }
}

fn print(text: &str) -> Result<(), (u8, String)> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|why| (1, why.to_string()))
}
