//! Lines as logfmt: `key=value`, the value in quotes where it needs them, and within quotes the
//! escapes of JSON, which every reader of logfmt undoes.
//!
//! The keys are those of the JSON form. The journal notes time and level by itself, and reads `<6>`
//! at the beginning of a line as its priority (sd-daemon(3)). Must not know what is logged.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::{self, LineForm};

pub struct Logfmt {
    pub for_journal: bool,
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl<S, N> FormatEvent<S, N> for Logfmt
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
        if self.for_journal {
            write!(writer, "<{}>", priority(*metadata.level()))?;
        } else {
            writer.write_str("timestamp=")?;
            SystemTime.format_time(&mut writer)?;
            write!(writer, " level={} ", metadata.level())?;
        }
        write!(writer, "target={}", metadata.target())?;
        fields::write(event, &mut Pairs(&mut writer))?;
        writeln!(writer)
    }
}

/// Writes each pair behind what there is already.
struct Pairs<'w, W>(&'w mut W);

impl<W: fmt::Write> LineForm for Pairs<'_, W> {
    fn text(&mut self, key: &str, value: &str) -> fmt::Result {
        write_pair(self.0, key, value)
    }

    fn bare(&mut self, key: &str, value: impl fmt::Display) -> fmt::Result {
        write!(self.0, " {key}={value}")
    }
}

fn write_pair(writer: &mut impl fmt::Write, key: &str, value: &str) -> fmt::Result {
    write!(writer, " {key}=")?;
    let needs_quotes = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=');
    if !value.is_empty() && !value.contains(needs_quotes) {
        return writer.write_str(value);
    }
    writer.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' | '\\' => write!(writer, "\\{c}")?,
            '\n' => writer.write_str("\\n")?,
            '\r' => writer.write_str("\\r")?,
            '\t' => writer.write_str("\\t")?,
            c if c.is_control() => write!(writer, "\\u{:04x}", u32::from(c))?,
            c => writer.write_char(c)?,
        }
    }
    writer.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_quotes_where_it_needs_them() {
        for (value, expected) in [
            ("hit", " key=hit"),
            ("/simple/a%20b/", " key=/simple/a%20b/"),
            ("ä\\u", " key=ä\\u"),
            ("", " key=\"\""),
            ("two words", " key=\"two words\""),
            ("a=b", " key=\"a=b\""),
            ("\"a\" \\", " key=\"\\\"a\\\" \\\\\""),
            ("a\nb\u{1b}", " key=\"a\\nb\\u001b\""),
        ] {
            let mut line = String::new();
            assert!(write_pair(&mut line, "key", value).is_ok());
            assert_eq!(line, expected);
        }
    }
}
