//! Lines as JSON: one object each, with the keys of the logfmt form.
//!
//! Must not know what is logged.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::{self, LineForm};

pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
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
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", metadata.level())?;
        let mut members = Members(&mut writer);
        members.text("target", metadata.target())?;
        fields::write(event, &mut members)?;
        writeln!(writer, "}}")
    }
}

/// Writes each member behind what there is already.
struct Members<'w, W>(&'w mut W);

impl<W: fmt::Write> LineForm for Members<'_, W> {
    fn text(&mut self, key: &str, value: &str) -> fmt::Result {
        let quoted = |text: &str| serde_json::to_string(text).map_err(|_| fmt::Error);
        write!(self.0, ",{}:{}", quoted(key)?, quoted(value)?)
    }

    fn bare(&mut self, key: &str, value: impl fmt::Display) -> fmt::Result {
        let key = serde_json::to_string(key).map_err(|_| fmt::Error)?;
        write!(self.0, ",{key}:{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_json_whatever_they_hold() {
        let mut line = "{\"a\":0".to_owned();
        let mut members = Members(&mut line);
        assert!(members.text("b", "\"x\"\n\u{1b}\\é").is_ok());
        assert!(members.bare("c", 1.5).is_ok());
        line.push('}');
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({"a": 0, "b": "\"x\"\n\u{1b}\\é", "c": 1.5});
        assert_eq!(read, expected);
    }
}
