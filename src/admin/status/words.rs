//! Amounts as people read them.
//!
//! Must not know what they are of.

use std::time::Duration;

/// The two largest units: `3 days 4 h`, `2 min 5 s`, `under a second`.
pub(super) fn time(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "day"), (3600, "h"), (60, "min"), (1, "s")];
    let Some(first) = units.iter().position(|(unit, _)| seconds >= *unit) else {
        return "under a second".to_owned();
    };
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, word) in units.iter().skip(first).take(2) {
        let count = left / unit;
        left %= unit;
        if count > 0 {
            let plural = if *word == "day" && count > 1 { "s" } else { "" };
            parts.push(format!("{count} {word}{plural}"));
        }
    }
    parts.join(" ")
}

/// `1 file`, `2 files`
pub(super) fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { more })
}

/// `12,345`
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `87 %`; one that is not whole is neither 0 nor 100.
pub(super) fn share(part: u64, whole: u64) -> Option<String> {
    if whole == 0 {
        return None;
    }
    let percent = u128::from(part) * 100 / u128::from(whole);
    Some(if part > 0 && percent == 0 {
        "under 1 %".to_owned()
    } else {
        format!("{percent} %")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_have_their_units() {
        for (seconds, text) in [
            (0, "under a second"),
            (59, "59 s"),
            (60, "1 min"),
            (125, "2 min 5 s"),
            (3605, "1 h"),
            (90_000, "1 day 1 h"),
            (200_000, "2 days 7 h"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_234_567)],
            ["0", "999", "1,234,567"]
        );
        assert_eq!(share(1, 1000).as_deref(), Some("under 1 %"));
        assert_eq!(share(999, 1000).as_deref(), Some("99 %"));
        assert_eq!(share(0, 0), None);
    }

    proptest! {
        #[test]
        fn no_amount_is_too_large(amount: u64, other: u64) {
            prop_assert!(!time(Duration::from_secs(amount)).is_empty());
            prop_assert_eq!(grouped(amount).replace(',', ""), amount.to_string());
            let _ = share(amount, other);
        }
    }
}
