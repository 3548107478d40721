//! Lines as the journal wants them: without a time of our own, and with the level in front as syslog has it.
//!
//! The journal notes the time itself, and reads `<6>` at the beginning of a line as its priority (sd-daemon(3)). Must not
//! know what is logged.

use std::fmt;
use std::os::fd::AsFd;

use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Whether this stream leads into the journal: `variable` is the value of `JOURNAL_STREAM`, the device and the inode of the
/// stream that systemd made (systemd.exec(5)). A stream that was redirected since is another.
pub(super) fn is_journal(stream: impl AsFd, variable: Option<&str>) -> bool {
    let Some((device, inode)) = variable.and_then(|text| text.split_once(':')) else {
        return false;
    };
    let Ok(stat) = fstat(stream) else {
        return false;
    };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

/// `<priority>target: fields`
pub(super) struct JournalLine;

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl<S, N> FormatEvent<S, N> for JournalLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        write!(writer, "<{}>{}: ", priority(*about.level()), about.target())?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn only_the_stream_that_systemd_made_is_the_journals() -> Result<(), Box<dyn std::error::Error>>
    {
        let (ours, other) = UnixStream::pair()?;
        let stat = fstat(&ours)?;
        let variable = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_journal(&ours, Some(&variable)));
        assert!(!is_journal(&other, Some(&variable)));
        for wrong in [None, Some(""), Some("1"), Some("x:y")] {
            assert!(!is_journal(&ours, wrong), "{wrong:?}");
        }
        Ok(())
    }
}
