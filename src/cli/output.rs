//! What commands print on standard output, at once, line by line.
//!
//! Must not know any command.

use std::io::{self, Write};

use serde::Serialize;

/// Prints text.
///
/// # Errors
/// When standard output does not take it.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints an event: as a line of JSON, or in words.
///
/// # Errors
/// When standard output does not take it.
pub fn print_event<E: Serialize>(
    event: &E,
    json: bool,
    in_words: impl FnOnce(&E) -> String,
) -> io::Result<()> {
    print(&event_text(event, json, in_words)?)
}

/// # Errors
/// When the event is no JSON, which is a mistake in its type.
pub fn event_text<E: Serialize>(
    event: &E,
    json: bool,
    in_words: impl FnOnce(&E) -> String,
) -> io::Result<String> {
    if json {
        json_line(event)
    } else {
        Ok(in_words(event))
    }
}

/// # Errors
/// When the event is no JSON, which is a mistake in its type.
pub fn json_line(event: &impl Serialize) -> io::Result<String> {
    let mut line = serde_json::to_string(event).map_err(io::Error::other)?;
    line.push('\n');
    Ok(line)
}

/// Says something beside what a command prints, so that a reader of its output is not disturbed.
pub fn remark(text: &str) {
    // Without standard error there is no reader that could miss it.
    let _ = writeln!(io::stderr(), "larder: {text}");
}
