//! The mode of a unix socket: who on this machine may connect.
//!
//! Pure. Owns its form in the configuration, octal digits. Must not know which socket.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// Permission bits of a socket; connecting takes the right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(pub u32);

impl Default for SocketMode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl FromStr for SocketMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits =
            text.len() == 4 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| digits && mode & 0o200 != 0);
        mode.map(Self).ok_or_else(|| {
            format!("\"{text}\" is not a mode such as \"0660\" that lets the owner in")
        })
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for SocketMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SocketMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_four_octal_digits() {
        for text in ["0600", "0660", "0666", "0777"] {
            assert_eq!(
                text.parse::<SocketMode>().map(|mode| mode.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "660", "0680", "1660", "0400", "rw-", "00660", "+660"] {
            assert!(text.parse::<SocketMode>().is_err(), "{text}");
        }
    }
}
