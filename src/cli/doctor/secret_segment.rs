//! Whether a segment of a URL's path looks like a secret.
//!
//! Some servers take a token in the path. Nothing tells it from a name but its looks, so this is a
//! guess, for a check that may warn and do no more. Must not know whose URL it is.

use percent_encoding::percent_decode_str;

/// A token that can be guessed is none; names of so many letters and digits without a separator are
/// rare.
const RUN_CHARS_MIN: usize = 16;

/// In a name, letters and digits come in stretches longer than this.
const STRETCH_CHARS: usize = 4;

/// How tokens of servers begin that say so: GitLab, GitHub, Artifactory, JSON Web Tokens, macaroons
/// of the public index.
const BEGINNINGS: [&str; 9] = [
    "glpat-",
    "gldt-",
    "glcbt-",
    "gloas-",
    "ghp_",
    "github_pat_",
    "AKCp",
    "eyJ",
    "pypi-AgE",
];

/// Of a secret, as much as tells which it is.
const SHOWN_CHARS: usize = 4;

/// Whether it looks like one: it begins as tokens do, is a UUID, or is a long run of letters and
/// digits in no order.
pub fn looks_like_a_secret(segment: &str) -> bool {
    let text = percent_decode_str(segment).decode_utf8_lossy();
    for begin in BEGINNINGS {
        if text.starts_with(begin) && text.len() >= begin.len() + 8 {
            return true;
        }
    }
    let mut runs = text.split(|c: char| !c.is_ascii_alphanumeric());
    is_uuid(&text) || runs.any(is_disorderly)
}

/// It without most of it, to be shown.
pub fn shortened(segment: &str) -> String {
    let shown: String = segment.chars().take(SHOWN_CHARS).collect();
    format!("{shown}… ({} characters)", segment.chars().count())
}

/// 8-4-4-4-12 hexadecimal digits (RFC 9562 §4).
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// Whether the kind of character changes as often as by chance. That a capital begins a word is no
/// change.
fn is_disorderly(run: &str) -> bool {
    let kinds: Vec<Kind> = run.bytes().map(Kind::of).collect();
    let is_mixed = kinds.contains(&Kind::Digit) && kinds.iter().any(|kind| *kind != Kind::Digit);
    let mut changes = 0;
    for pair in kinds.windows(2) {
        match pair {
            [Kind::Capital, Kind::Small] => {}
            [one, next] if one != next => changes += 1,
            _ => {}
        }
    }
    run.len() >= RUN_CHARS_MIN && is_mixed && changes * STRETCH_CHARS >= run.len()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Small,
    Capital,
    Digit,
}

impl Kind {
    fn of(byte: u8) -> Self {
        match byte {
            b'0'..=b'9' => Self::Digit,
            b'A'..=b'Z' => Self::Capital,
            _ => Self::Small,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_from_names() {
        for secret in [
            "9fK2xLq7Zr4TnB8w",
            "d41d8cd98f00b204e9800998ecf8427e",
            "0b6f3c1e-52a7-4d0e-9c1b-7f2a8d3e4c5f",
            "glpat-abcdefghijklmnopqrst",
            "eyJhbGciOiJIUzI1NiJ9",
            "token-9fK2xLq7Zr4TnB8wQ1",
            "9fK2xLq7%5AZr4TnB8w",
        ] {
            assert!(looks_like_a_secret(secret), "{secret}");
        }
        for name in [
            "",
            "simple",
            "+simple",
            "api",
            "pypi",
            "artifactory",
            "python-packages-release-2024",
            "releasecandidate2024build",
            "PyTorchNightlyCu118Wheels",
            "acme-internal-python-virtual",
            "cu118",
            "manylinux2014x8664",
            "my.long.namespace.with.dots.v2",
            "12345678901234567890",
            "supercalifragilisticexpialidocious",
        ] {
            assert!(!looks_like_a_secret(name), "{name}");
        }
        assert_eq!(shortened("9fK2xLq7Zr4TnB8w"), "9fK2… (16 characters)");
    }
}
