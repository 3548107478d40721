//! One line: what stands before its fields, the fields, and its end.
//!
//! Most lines come by way of `tracing`. A line that each request has may be written without its way
//! through a subscriber and a visitor, which costs more than the line ([`write`]). Owns the text
//! that a line is written into: one for each thread, so that no line asks for memory. Must not know
//! what is logged.

use std::cell::RefCell;
use std::fmt;
use std::sync::OnceLock;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::{FieldForm, Fields};
use super::json::Members;
use super::logfmt::Pairs;
use super::queue::{LogQueue, is_urgent};
use super::timestamp;

/// A longer text is not kept for the next line.
const KEPT_BYTES_MAX: usize = 4 << 10;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// This process's log. As global as the subscriber.
static LOG: OnceLock<(LineForm, LogQueue)> = OnceLock::new();

/// How lines are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineForm {
    Json,
    Logfmt,
    /// Logfmt for the journal, which notes time and level by itself, and reads `<6>` at the
    /// beginning of a line as its priority (sd-daemon(3)).
    Journal,
}

/// From now on lines can be written without `tracing`.
pub(super) fn use_queue(form: LineForm, queue: LogQueue) {
    // A second subscriber is refused, and with it its queue.
    let _ = LOG.set((form, queue));
}

/// Lines that did not fit so far.
pub fn dropped_lines() -> u64 {
    match LOG.get() {
        Some((_, queue)) => queue.dropped(),
        None => 0,
    }
}

/// Writes a line with these fields, if this process logs. Whether the line is wanted is asked
/// before ([`is_request_wanted`](super::is_request_wanted)).
pub fn write(target: &str, level: Level, fields: impl FnOnce(&mut Fields<'_>)) {
    let Some((form, queue)) = LOG.get() else {
        return;
    };
    with_line(|line| {
        form.spell(line, target, level, fields);
        queue.put(line.as_bytes(), is_urgent(level));
    });
}

impl LineForm {
    fn spell(
        self,
        line: &mut String,
        target: &str,
        level: Level,
        fields: impl FnOnce(&mut Fields<'_>),
    ) {
        match self {
            Self::Json => {
                line.push_str("{\"timestamp\":\"");
                timestamp::push(line);
                line.push_str("\",\"level\":\"");
                line.push_str(level.as_str());
                line.push('"');
                let mut members = Members(line);
                members.text("target", target);
                fields(&mut Fields::of(&mut members));
                line.push_str("}\n");
                return;
            }
            Self::Logfmt => {
                line.push_str("timestamp=");
                timestamp::push(line);
                line.push_str(" level=");
                line.push_str(level.as_str());
                line.push(' ');
            }
            Self::Journal => line.push_str(priority(level)),
        }
        line.push_str("target=");
        line.push_str(target);
        fields(&mut Fields::of(&mut Pairs(line)));
        line.push('\n');
    }
}

fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

impl<S, N> FormatEvent<S, N> for LineForm
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        with_line(|line| {
            self.spell(line, metadata.target(), *metadata.level(), |fields| {
                fields.event(event);
            });
            writer.write_str(line)
        })
    }
}

/// Does something with an empty text.
fn with_line<T>(work: impl FnOnce(&mut String) -> T) -> T {
    // Taken, not borrowed: a value that is spelled may write a line itself.
    let mut line = LINE.take();
    let done = work(&mut line);
    line.clear();
    if line.capacity() <= KEPT_BYTES_MAX {
        LINE.set(line);
    }
    done
}
