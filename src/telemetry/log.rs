//! `[log]`: where lines go and which.
//!
//! Owns the subscriber. Lines are written by a thread of their own behind a bounded queue: a slow terminal or journal
//! must not slow a download; lines that do not fit are dropped. Must not know what is logged.

use std::io::BufWriter;

use serde::{Deserialize, Serialize};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Lines waiting to be written.
const QUEUE_LINES: usize = 16 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or levels by target: `"info,larder::file=debug"`.
    pub level: String,
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Keeps the writing thread; dropped, it writes what is queued.
pub struct LogGuard(#[expect(dead_code, reason = "its drop is its use")] WorkerGuard);

/// Starts logging to standard error.
///
/// # Errors
/// A sentence about `log.level`, or that logging runs already.
pub fn start(config: &LogConfig) -> Result<LogGuard, String> {
    let filter: Targets =
        config.level.parse().map_err(|why| format!("log.level: \"{}\": {why}", config.level))?;
    let (writer, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE_LINES)
        .lossy(true)
        // One write for all lines that have come in meanwhile.
        .finish(BufWriter::new(std::io::stderr()));
    let lines = match config.format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_writer(writer).with_filter(filter).boxed()
        }
    };
    tracing_subscriber::registry().with(lines).try_init().map_err(|why| why.to_string())?;
    Ok(LogGuard(guard))
}
