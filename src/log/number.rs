//! Numbers as `Display` spells them, without its detours: each line has several.
//!
//! Must not know what is counted.

use std::fmt::Write;

/// Most decimals are as short as this: `duration_ms` has three digits behind the point.
const SHORT: u64 = 1_000;

/// Beyond it not every number has a decimal of its own that is so short.
const SHORT_MAX: f64 = 1e12;

pub(super) fn push(line: &mut String, number: impl itoa::Integer) {
    line.push_str(itoa::Buffer::new().format(number));
}

/// Adds a number below `limit`, a power of ten, with all noughts before it.
pub(super) fn push_padded(line: &mut String, number: u64, limit: u64) {
    // With one digit more, which is left out.
    line.push_str(&itoa::Buffer::new().format(limit + number)[1..]);
}

pub(super) fn push_decimal(line: &mut String, number: f64) {
    let Some(thousandths) = thousandths(number) else {
        // A text takes all that is written into it.
        let _ = write!(line, "{number}");
        return;
    };
    push_thousandths(line, thousandths);
}

/// Adds so many thousandths.
pub(super) fn push_thousandths(line: &mut String, thousandths: u64) {
    push(line, thousandths / SHORT);
    let behind_the_point = thousandths % SHORT;
    if behind_the_point > 0 {
        line.push('.');
        push_padded(line, behind_the_point, SHORT);
        line.truncate(line.trim_end_matches('0').len());
    }
}

/// How many thousandths a number has, if it has nothing beside them.
fn thousandths(number: f64) -> Option<u64> {
    let thousandths = (number * 1e3).round();
    let is_all = thousandths / 1e3 == number;
    if !is_all || number.is_sign_negative() || thousandths > SHORT_MAX {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between 0 and 10^12"
    )]
    Some(thousandths as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_decimal_is_spelled_as_it_displays(
            number in prop_oneof![any::<f64>(), (0..10_000_000_u32).prop_map(|micros| f64::from(micros) / 1e3)],
        ) {
            let mut line = "x".to_owned();
            push_decimal(&mut line, number);
            prop_assert_eq!(line, format!("x{number}"));
        }

        #[test]
        fn noughts_stand_before_a_small_number(number in 0..1_000_000_u64) {
            let mut line = String::new();
            push_padded(&mut line, number, 1_000_000);
            prop_assert_eq!(line, format!("{number:06}"));
        }
    }

    #[test]
    fn short_decimals_and_others() {
        for number in [
            0.0, -0.0, 0.1, 0.123, 12.0, 100.5, 1e9, 1e12, 1e15, -1.5, 0.000_5, 1e300,
        ] {
            let mut line = String::new();
            push_decimal(&mut line, number);
            assert_eq!(line, number.to_string());
        }
    }
}
