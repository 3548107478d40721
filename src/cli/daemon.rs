//! The way to the daemon: the one that holds the cache folder, or one that is started inside this
//! process.
//!
//! Must not know what a command asks of it.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::{CommandError, CommandResult};
use super::invocation::Invocation;
use super::output::{print_event, remark};
use super::progress::HowFar;
use crate::app;
use crate::app::config::Config;
use crate::control::{self, Body, Client, ClientError};
use crate::store::Peek;

/// What a command says that is done and stays.
const AWAITED: &str = "another command uses the cache through this one: waiting for it to end";

/// # Errors
/// When the system gives no thread.
pub fn runtime() -> Result<Runtime, CommandError> {
    Runtime::new().map_err(CommandError::refused)
}

/// Does something by way of a daemon that runs by itself; where there is none, `without` says what
/// that means.
///
/// # Errors
/// When no daemon answers, or the work fails.
pub fn with_running(
    cache_dir: &Path,
    without: &str,
    work: impl AsyncFnOnce(&Client) -> CommandResult,
) -> CommandResult {
    runtime()?.block_on(async {
        let error = match Client::connect(cache_dir).await {
            Ok(client) => return work(&client).await,
            Err(error) => error,
        };
        Err(CommandError::Refused(unanswered(
            cache_dir, without, &error,
        )))
    })
}

/// What is to be said when no daemon answers for a cache folder; `without` says what that means.
pub fn unanswered(cache_dir: &Path, without: &str, error: &ClientError) -> String {
    let place = cache_dir.display();
    let hint = "is it another folder (--config, --cache-dir)?";
    format!("no daemon answers for {place}: {without}; {hint} ({error})")
}

/// Where Ctrl-C goes. SIGTERM is always for this process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CtrlC {
    EndsCommand,
    /// The terminal sends it to a program that the command runs as well: that ends, and the command
    /// after it.
    EndsChild,
}

/// Ctrl-C and SIGTERM, which end no process by themselves while this is there.
pub struct Interruption {
    ctrl_c: CtrlC,
    interrupt: Signal,
    terminate: Signal,
}

impl Interruption {
    pub fn listen(ctrl_c: CtrlC) -> std::io::Result<Self> {
        Ok(Self {
            ctrl_c,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub async fn comes(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv(), if self.ctrl_c == CtrlC::EndsCommand => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Says no where no larder has used the cache folder: what only looks at it, or takes from it, does
/// not make it.
///
/// # Errors
/// That it has not been used, or that there is no home to look for it.
pub fn used_folder(config: &Config) -> Result<(), CommandError> {
    let folder = config.cache_dir().map_err(CommandError::config)?;
    if Peek::is_used(&folder) {
        return Ok(());
    }
    Err(CommandError::Refused(unused(&folder)))
}

/// What is to be said of a folder that no larder has used.
pub fn unused(folder: &Path) -> String {
    format!("no larder has used this folder: {}", folder.display())
}

/// Does something by way of the daemon that holds the cache folder, which is started inside this
/// process if no other runs. Interrupted, it leaves off, and ends such a daemon in order. The lines
/// of a daemon inside this process are shown only if the invocation is verbose: a command has its
/// own words.
///
/// # Errors
/// When there is no way to a daemon, the work fails, or it is interrupted.
pub fn with_daemon(
    config: &Config,
    invocation: &Invocation,
    ctrl_c: CtrlC,
    work: impl AsyncFnOnce(&Client, &HowFar) -> CommandResult,
) -> CommandResult {
    let mut log = config.log.clone();
    if !invocation.verbose {
        "off".clone_into(&mut log.level);
    }
    let _log = crate::log::start(&log).map_err(CommandError::config)?;
    raise_open_files();
    runtime()?.block_on(async {
        let mut interruption = Interruption::listen(ctrl_c).map_err(CommandError::refused)?;
        let how_far = HowFar::default();
        let interrupted = || CommandError::Interrupted(how_far.sentence());
        let reached = tokio::select! {
            reached = app::reach(config) => reached?,
            () = interruption.comes() => return Err(interrupted()),
        };
        let done = tokio::select! {
            done = work(reached.client(), &how_far) => done,
            () = interruption.comes() => Err(interrupted()),
        };
        // Other commands may use this daemon: the next Ctrl-C ends the wait for them.
        interruption.ctrl_c = CtrlC::EndsCommand;
        tokio::select! {
            () = reached.stop(|| remark(AWAITED)) => {}
            () = interruption.comes() => {}
        }
        done
    })
}

/// Runs a command in the daemon, and prints each event of it.
///
/// # Errors
/// When the daemon does not carry it out, or standard output does not take an event.
pub async fn print_events<C: control::Command>(
    client: &Client,
    command: &C,
    json: bool,
    in_words: impl Fn(&C::Event) -> String,
) -> CommandResult {
    let mut events = client.run(command).await?;
    while let Some(event) = events.next().await? {
        print_event(&event, json, &in_words)?;
    }
    Ok(0)
}

/// Delivers a body; gives the last event, which says what came of it.
///
/// # Errors
/// When the daemon does not take it.
pub async fn deliver<C: control::Command>(
    client: &Client,
    body: Body,
) -> Result<Option<C::Event>, ClientError> {
    let mut events = client.deliver::<C>(body).await?;
    let mut last = None;
    while let Some(event) = events.next().await? {
        last = Some(event);
    }
    Ok(last)
}

/// Each client takes a socket and often a file: as many as the system lets us have.
pub fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
