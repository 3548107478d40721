//! What commands say, line by line, while they go on.
//!
//! Must not know any command.

use std::io::{self, Write};

use serde::Serialize;

use crate::control::ClientError;

/// Why a command did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write what there is to say: {0}")]
    Output(#[from] io::Error),
    /// The answer is no, and why.
    #[error("{0}")]
    Refused(String),
    /// The arguments are to blame.
    #[error("{0}")]
    Usage(String),
    /// Ctrl-C or SIGTERM; what was done by then.
    #[error("interrupted: {0}")]
    Interrupted(String),
}

/// Prints to standard output, at once.
///
/// # Errors
/// When nobody takes it.
pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// # Errors
/// When the event is no JSON, which is a mistake in its type.
pub fn json_line(event: &impl Serialize) -> io::Result<String> {
    let mut line = serde_json::to_string(event).map_err(io::Error::other)?;
    line.push('\n');
    Ok(line)
}
