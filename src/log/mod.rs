//! `[log]`: where lines go and which.
//!
//! Owns the subscriber, of which a process has one, and its level, which can be changed while it
//! runs. Lines are queued: a slow terminal or journal must not slow a download. Must not know what
//! is logged.

mod fields;
mod journal;
mod json;
mod line;
mod logfmt;
mod number;
mod queue;
mod timestamp;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

pub use fields::{Fields, are_client_addresses_shown, show_client_addresses};
use journal::is_journal;
use line::LineForm;
pub use line::{dropped_lines, write};
use queue::{LogQueue, LogQueueGuard};

/// The level of this process's log. As global as the subscriber itself.
static LEVEL: OnceLock<LogLevel> = OnceLock::new();

/// How deep its lines about requests go: each request asks.
static REQUEST_DEPTH: AtomicU8 = AtomicU8::new(0);

/// The target of the line that each request has.
pub const REQUEST: &str = "larder::request";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or levels by target: `"info,larder::file=debug"`.
    pub level: String,
    pub format: LogFormat,
    /// Whether lines tell clients' addresses.
    pub client_address: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
            client_address: true,
        }
    }
}

impl LogConfig {
    /// What is wrong with `level`, if anything is.
    pub fn level_fault(&self) -> Option<String> {
        targets(&self.level).err()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The target of the one line that every log has: which larder began, and where it listens.
pub const START: &str = "larder::start";

/// Keeps the writing thread; dropped, it writes what is queued.
pub struct LogGuard(#[expect(dead_code, reason = "its drop is its use")] LogQueueGuard);

/// Which lines are written, from now on.
#[derive(Clone, Debug)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// This process's; none if it does not log.
    pub fn of_process() -> Option<&'static Self> {
        LEVEL.get()
    }

    /// The level as it stands, its parts in an order of their own.
    ///
    /// # Errors
    /// That there is no log any more.
    pub fn present(&self) -> Result<String, String> {
        let present = self.0.with_current(ToString::to_string);
        present.map_err(|why| why.to_string())
    }

    /// Changes the level, until it is changed again or the process ends.
    ///
    /// # Errors
    /// A sentence about the level; the present one stays then.
    pub fn set(&self, level: &str) -> Result<(), String> {
        let targets = targets(level)?;
        let depth = request_depth(&targets);
        self.0.reload(targets).map_err(|why| why.to_string())?;
        REQUEST_DEPTH.store(depth, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether lines about requests of this level are written now.
pub fn is_request_wanted(level: Level) -> bool {
    depth(level) <= REQUEST_DEPTH.load(Ordering::Relaxed)
}

/// How deep lines about requests go; 0 if none is written.
fn request_depth(targets: &Targets) -> u8 {
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
    let mut deepest = 0;
    for level in levels {
        if targets.would_enable(REQUEST, &level) {
            deepest = depth(level);
        }
    }
    deepest
}

fn depth(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Starts logging to standard error.
///
/// # Errors
/// A sentence about `log.level`, or that logging runs already.
pub fn start(config: &LogConfig) -> Result<LogGuard, String> {
    let filter = targets(&config.level).map_err(|why| format!("log.level: {why}"))?;
    let depth = request_depth(&filter);
    let (filter, handle) = reload::Layer::new(filter);
    // Whatever the level: a log that says nothing else says which larder began to write it.
    // It gives a hint of its level, or the `log` crate, by which rustls logs, hands over every record.
    let start = filter_fn(|metadata| metadata.target() == START);
    let filter = filter.or(start.with_max_level_hint(LevelFilter::INFO));
    let (writer, guard) = LogQueue::start(std::io::stderr()).map_err(|why| why.to_string())?;
    let journal = std::env::var("JOURNAL_STREAM").ok();
    let form = match config.format {
        LogFormat::Json => LineForm::Json,
        LogFormat::Text if is_journal(std::io::stderr(), journal.as_deref()) => LineForm::Journal,
        LogFormat::Text => LineForm::Logfmt,
    };
    line::use_queue(form, writer.clone());
    let lines = fmt::layer()
        .event_format(form)
        .with_writer(writer)
        .with_filter(filter);
    tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .map_err(|why| why.to_string())?;
    // A process logs once: the subscriber was refused otherwise.
    let _ = LEVEL.set(LogLevel(handle));
    REQUEST_DEPTH.store(depth, Ordering::Relaxed);
    show_client_addresses(config.client_address);
    if config.format == LogFormat::Json {
        std::panic::set_hook(Box::new(|panic| {
            tracing::error!(error = %panic, "a part of larder panicked");
        }));
    }
    Ok(LogGuard(guard))
}

/// What is let through. A lone word must be a level: as a target, which it could be too, a misspelt
/// level would let nothing through.
fn targets(level: &str) -> Result<Targets, String> {
    let shown = level.escape_debug();
    let parts: Vec<&str> = level.split(',').map(str::trim).collect();
    for part in &parts {
        if part.is_empty() || (!part.contains('=') && part.parse::<LevelFilter>().is_err()) {
            return Err(format!(
                "\"{shown}\": is no level: off, error, warn, info, debug, or target=level, \
                 with commas between"
            ));
        }
    }
    let targets = parts.join(",").parse();
    targets.map_err(|why| format!("\"{shown}\": {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_words_by_target() {
        for good in [
            "info",
            "INFO",
            "off",
            "info,larder::file=debug",
            "warn, larder::request=info",
        ] {
            assert!(targets(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "inof",
            "larder::file",
            "info,",
            "info,larder::file=loud",
            "in\nfo",
        ] {
            let why = targets(bad).err().unwrap_or_default();
            assert!(why.contains("level") && !why.contains('\n'), "{bad}: {why}");
        }
    }

    #[test]
    fn a_bad_level_leaves_the_present_one() {
        let (_layer, handle) = reload::Layer::new(targets("info").unwrap_or_default());
        let level = LogLevel(handle);
        assert_eq!(level.set("debug"), Ok(()));
        assert!(level.set("louder").is_err());
        assert_eq!(level.present(), Ok("debug".to_owned()));
    }
}
