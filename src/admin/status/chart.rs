//! One stretch of time as bars: what was sent, and how much of it was saved.
//!
//! Pure: two paths in the user units of an SVG, so that a stylesheet gives them their colours and
//! no bar needs an element of its own. Must not know what the bars stand for.

use std::fmt::Write;

pub(super) const WIDTH: u32 = 240;
pub(super) const HEIGHT: u32 = 56;

/// Between two bars, in hundredths of a bar's place.
const GAP_PERCENT: u32 = 25;

/// Two stacked rows of bars as path data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bars {
    /// From the ground up.
    pub lower: String,
    /// On top of the lower ones.
    pub upper: String,
}

/// `pairs` are (lower, upper) amounts; the tallest bar fills the height.
pub(super) fn bars(pairs: &[(u64, u64)]) -> Bars {
    let tallest = pairs
        .iter()
        .map(|(lower, upper)| lower.saturating_add(*upper))
        .max()
        .unwrap_or(0)
        .max(1);
    // In tenths of a unit: finer than a screen shows.
    let place = WIDTH * 10 / u32::try_from(pairs.len().max(1)).unwrap_or(u32::MAX);
    let bar = (place - place * GAP_PERCENT / 100).max(1);
    let mut low = String::new();
    let mut high = String::new();
    let mut left = 0;
    for (lower, upper) in pairs {
        let ground = HEIGHT * 10;
        let lower_top = ground - tenths(*lower, tallest);
        let upper_top = ground - tenths(lower.saturating_add(*upper), tallest);
        column(&mut low, left, bar, lower_top, ground);
        column(&mut high, left, bar, upper_top, lower_top);
        left += place;
    }
    Bars {
        lower: low,
        upper: high,
    }
}

/// Whatever is more than nothing can be seen.
fn tenths(amount: u64, tallest: u64) -> u32 {
    let whole = u128::from(HEIGHT) * 10;
    let height = u128::from(amount) * whole / u128::from(tallest);
    let least = if amount > 0 { 10 } else { 0 };
    u32::try_from(height.clamp(least, whole)).unwrap_or_default()
}

fn column(path: &mut String, left: u32, width: u32, top: u32, bottom: u32) {
    if bottom > top {
        let tenth = |tenths: u32| format!("{}.{}", tenths / 10, tenths % 10);
        let (left, width, bottom, height) = (
            tenth(left),
            tenth(width),
            tenth(bottom),
            tenth(bottom - top),
        );
        // Writing to a String cannot fail.
        let _ = write!(path, "M{left} {bottom}v-{height}h{width}v{height}z");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_no_bar_and_the_tallest_fills_the_height() {
        assert_eq!(
            bars(&[(0, 0), (0, 0)]),
            Bars {
                lower: String::new(),
                upper: String::new()
            }
        );
        let two = bars(&[(1, 1), (0, 1)]);
        assert_eq!(two.lower, "M0.0 56.0v-28.0h90.0v28.0z");
        assert_eq!(
            two.upper,
            "M0.0 28.0v-28.0h90.0v28.0zM120.0 56.0v-28.0h90.0v28.0z"
        );
    }

    proptest! {
        #[test]
        fn every_amount_gives_bars_inside_the_picture(pairs in prop::collection::vec((any::<u64>(), any::<u64>()), 0..70)) {
            let bars = bars(&pairs);
            for number in format!("{} {}", bars.lower, bars.upper).split(|c: char| !(c.is_ascii_digit() || c == '.')) {
                if let Ok(number) = number.parse::<f64>() {
                    prop_assert!((0.0..=f64::from(WIDTH)).contains(&number));
                }
            }
        }
    }
}
