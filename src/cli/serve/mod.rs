//! The daemon's life: started, told to read its configuration again, told to stop, ended; and what
//! its service manager hears of it.
//!
//! Owns the signals. Must not know how anything is served.

mod manager;
mod reload;
mod status;
mod watchdog;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::app::App;
use crate::app::config::Config;
use crate::cli::banner::Beginning;
use crate::cli::daemon::{CtrlC, Interruption, raise_open_files, runtime};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::print;
use crate::log::LogFormat;
use crate::server::PassedSockets;
use crate::values::clock;
use manager::Manager;
use reload::reload;
use status::{destination, in_words};

/// How often the service manager is told how the daemon is, if that has changed.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// For what still works on a disk, when everything else has ended: files whose last byte their
/// clients have are on their way into the store.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// Serves until a signal ends it; running downloads are finished first, unless a second signal
/// comes.
///
/// # Errors
/// Why the daemon did not start.
pub fn run(invocation: &Invocation) -> CommandResult {
    // First of all: it changes the environment, which must not have a second reader then.
    let passed = PassedSockets::take().map_err(CommandError::refused)?;
    let config = invocation.config()?;
    let _log = crate::log::start(&config.log).map_err(CommandError::config)?;
    for remark in Config::environment_remarks() {
        tracing::warn!("{remark}");
    }
    for expired in config.expired_exceptions() {
        tracing::warn!("{expired}");
    }
    raise_open_files();
    warn_of_few_files(config.limits.connections);
    let runtime = runtime()?;
    let format = config.log.format;
    let served = runtime.block_on(serve(config, passed, invocation));
    runtime.shutdown_timeout(LAST_WRITES);
    match served {
        // A reader of JSON is to find nothing else.
        Err(why) if format == LogFormat::Json => {
            tracing::error!(error = %why, "larder ends");
            Ok(why.exit_code())
        }
        served => served,
    }
}

/// One line in the log, and on a terminal lines to paste.
fn say_it_began(app: &App, configuration: &str) {
    let beginning = Beginning {
        urls: app.urls(),
        public_url: app.public_url(),
        gitlab: app.gitlab(),
        cache: app.cache_dir(),
        configuration,
    };
    beginning.record();
    if std::io::stdout().is_terminal()
        && let Err(why) = print(&beginning.banner())
    {
        // What reads it may have gone already; clients have not.
        tracing::warn!(error = %why, "the banner cannot be written");
    }
}

async fn serve(config: Config, passed: PassedSockets, invocation: &Invocation) -> CommandResult {
    // Before the first client is served: an end without a drain would cut it.
    let mut interruption =
        Interruption::listen(CtrlC::EndsCommand).map_err(CommandError::refused)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(CommandError::refused)?;
    let mut app = App::start(config, passed).await?;
    say_it_began(&app, &invocation.source());
    let mut manager = Manager::of_process();
    // Ends with this function, and so behind the drain.
    let mut beside = JoinSet::new();
    if let Some(limit) = manager.watchdog() {
        beside.spawn(watchdog::keep_content(Arc::clone(app.active()), limit));
    }
    manager.ready(status(&app));
    let mut looks = interval_at((clock::now() + STATUS_EVERY).into(), STATUS_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = interruption.comes() => break,
            _ = hangup.recv() => {
                manager.reloading();
                tokio::select! {
                    () = reload(&mut app, invocation) => manager.ready(status(&app)),
                    // A file that never comes, from a dead network drive say, must not keep it from
                    // ending.
                    () = interruption.comes() => break,
                }
            }
            _ = looks.tick(), if manager.listens() => manager.status(status(&app)),
        }
    }
    // Before the log says so: a request that follows the line is answered as its connection's last.
    app.begin_stop();
    tracing::info!("stopping: running downloads are finished first");
    manager.stopping(app.active().services().limits.drain_timeout.0);
    tokio::select! {
        () = app.stop() => Ok(0),
        () = interruption.comes() => {
            let sentence = "a second signal came, and running downloads were cut";
            Err(CommandError::Interrupted(sentence.to_owned()))
        }
    }
}

/// Each connection takes a socket, and a download a file; some more are larder's own.
fn warn_of_few_files(connections: usize) {
    let needed = connections.saturating_mul(2).saturating_add(64);
    let Some(most) = getrlimit(Resource::Nofile).current else {
        return;
    };
    if most < needed as u64 {
        tracing::warn!(
            most,
            needed,
            "fewer open files are allowed than limits.connections may need: \
             clients beyond them wait; raise the limit (LimitNOFILE=, ulimit -Hn) \
             or lower limits.connections"
        );
    }
}

/// One line about the daemon, for its service manager.
fn status(app: &App) -> String {
    let readings = app.active().services().admin.readings();
    in_words(destination(app.gitlab()).as_deref(), &readings)
}
