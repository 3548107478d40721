//! When a line was made: UTC, to the microsecond (RFC 3339).
//!
//! A thread keeps the second that it spelled last: many lines fall into one. Must not know what is
//! logged.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use super::fields::push as push_value;
use super::number;
use crate::values::clock;

#[derive(Default)]
struct SpelledSecond {
    second: u64,
    spelling: String,
}

thread_local! {
    static SPELLED: RefCell<SpelledSecond> = RefCell::default();
}

/// Adds the time as it is now.
pub(super) fn push(line: &mut String) {
    push_time(line, clock::wall());
}

fn push_time(line: &mut String, at: SystemTime) {
    let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH);
    let since_epoch = since_epoch.unwrap_or(Duration::ZERO);
    SPELLED.with_borrow_mut(|known| {
        let second = since_epoch.as_secs();
        if known.spelling.is_empty() || known.second != second {
            known.second = second;
            known.spelling = spelled(second);
        }
        line.push_str(&known.spelling);
    });
    line.push('.');
    number::push_padded(line, since_epoch.subsec_micros().into(), 1_000_000);
    line.push('Z');
}

/// A second as RFC 3339 has it, without its zone.
fn spelled(second: u64) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    let mut spelling = String::new();
    push_value(
        &mut spelling,
        format_args!("{}", humantime::format_rfc3339_seconds(at)),
    );
    spelling.truncate(spelling.trim_end_matches('Z').len());
    spelling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_microseconds_and_no_second_of_another() {
        let told = |micros| {
            let mut line = String::new();
            push_time(
                &mut line,
                SystemTime::UNIX_EPOCH + Duration::from_micros(micros),
            );
            line
        };
        assert_eq!(told(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(told(1_709_210_096_000_007), "2024-02-29T12:34:56.000007Z");
        assert_eq!(told(1_709_210_096_999_999), "2024-02-29T12:34:56.999999Z");
        assert_eq!(told(1_709_210_097_000_000), "2024-02-29T12:34:57.000000Z");
    }
}
