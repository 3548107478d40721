//! Lines as JSON: one object each, with the keys of the logfmt form.
//!
//! Must not know what is logged.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::{self, LineForm, push};
use super::timestamp;

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
        fields::with_line(&mut writer, |line| {
            line.push_str("{\"timestamp\":\"");
            timestamp::push(line);
            line.push_str("\",\"level\":\"");
            line.push_str(metadata.level().as_str());
            line.push('"');
            let mut members = Members(line);
            members.text("target", metadata.target());
            fields::write(event, &mut members);
            line.push_str("}\n");
        })
    }
}

/// Writes each member behind what there is already. A key is a field's name in the source: it has
/// nothing to escape.
struct Members<'l>(&'l mut String);

impl Members<'_> {
    fn key(&mut self, key: &str) {
        self.0.push_str(",\"");
        self.0.push_str(key);
        self.0.push_str("\":");
    }
}

impl LineForm for Members<'_> {
    fn text(&mut self, key: &str, value: &str) {
        self.debug(key, &format_args!("{value}"));
    }

    fn debug(&mut self, key: &str, value: &dyn fmt::Debug) {
        self.key(key);
        let start = self.0.len();
        self.0.push('"');
        push(self.0, format_args!("{value:?}"));
        if self.0[start + 1..].bytes().all(is_as_it_is) {
            return self.0.push('"');
        }
        let value = self.0.split_off(start);
        // A text always has a spelling.
        let quoted = serde_json::to_string(&value[1..]).unwrap_or_default();
        self.0.push_str(&quoted);
    }

    fn bare(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        push(self.0, format_args!("{value}"));
    }
}

/// Whether a byte stands for itself within quotes (RFC 8259 §7).
fn is_as_it_is(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_json_whatever_they_hold() {
        let mut line = "{\"a\":0".to_owned();
        let mut members = Members(&mut line);
        members.text("b", "\"x\"\n\u{1b}\\é");
        members.bare("c", 1.5);
        members.text("d", "plain");
        line.push('}');
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({"a": 0, "b": "\"x\"\n\u{1b}\\é", "c": 1.5, "d": "plain"});
        assert_eq!(read, expected);
    }
}
