//! Amounts as people write them in a configuration: `"30s"`, `"20GiB"`.
//!
//! Owns the two types, their reading and their printing. Must not know which key they belong to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time with its unit, as `"30s"`, `"10m"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = written(from, "a duration with its unit, such as \"30s\" or \"7d\"")?;
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        match humantime::parse_duration(&text) {
            Ok(duration) => Ok(Self(duration)),
            Err(why) => Err(de::Error::custom(format!(
                "\"{text}\" is not a duration such as \"30s\" or \"7d\": {why}"
            ))),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A number of bytes with its unit, as `"64KiB"`, `"20GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    pub const fn mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    pub const fn gibibytes(gibibytes: u64) -> Self {
        Self(gibibytes << 30)
    }

    /// As a count of bytes in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = written(from, "a size with its unit, such as \"64KiB\" or \"20GiB\"")?;
        if text != "0" && !text.ends_with(|last: char| last.is_ascii_alphabetic()) {
            let why = "a size needs its unit, such as \"64KiB\" or \"20GiB\"; bytes are \"B\"";
            return Err(de::Error::custom(format!("\"{text}\" has none: {why}")));
        }
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) => Ok(Self(size.as_u64())),
            Err(why) => Err(de::Error::custom(format!(
                "\"{text}\" is not a size such as \"64KiB\" or \"20GiB\": {why}"
            ))),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A string, or the zero that people write without a unit. Any other bare number is refused: its
/// unit would be a guess.
fn written<'de, D: Deserializer<'de>>(from: D, expected: &'static str) -> Result<String, D::Error> {
    struct AmountVisitor(&'static str);

    impl de::Visitor<'_> for AmountVisitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.trim().to_owned())
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
            self.visit_u64(u64::try_from(number).unwrap_or(u64::MAX))
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
            if number == 0 {
                Ok("0".to_owned())
            } else {
                Err(E::invalid_type(de::Unexpected::Unsigned(number), &self))
            }
        }
    }

    from.deserialize_any(AmountVisitor(expected))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_size_is_read_back_as_it_is_printed(bytes in 0..=u64::MAX >> 12) {
            let text = serde_json::to_string(&Size(bytes)).unwrap_or_default();
            prop_assert_eq!(serde_json::from_str::<Size>(&text).ok(), Some(Size(bytes)));
        }

        #[test]
        fn a_span_is_read_back_as_it_is_printed(seconds in 0..=10_000_000u64) {
            let text = serde_json::to_string(&Span::seconds(seconds)).unwrap_or_default();
            prop_assert_eq!(serde_json::from_str::<Span>(&text).ok(), Some(Span::seconds(seconds)));
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_an_example() {
        let why = serde_json::from_str::<Span>("30").map_err(|why| why.to_string());
        assert!(why.is_err_and(|text| text.contains("\"30s\"")));
        assert_eq!(
            serde_json::from_str::<Span>("0").ok(),
            Some(Span::seconds(0))
        );
    }
}
