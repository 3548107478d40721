//! Who may sign: a file of keys as `ssh-keygen` reads it (ssh-keygen(1), ALLOWED SIGNERS). Pure.
//!
//! A line that cannot be read allows nothing; what was wrong with it is told when no other line
//! allows the key.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Local time differs from UTC by at most so much, to the west and to the east.
const WEST_OF_UTC: Duration = Duration::from_secs(12 * 3600);
const EAST_OF_UTC: Duration = Duration::from_secs(14 * 3600);

/// Whether a key may sign for this principal in this namespace now. `Err`: why not, as a clause.
pub fn allow(
    text: &str,
    key: &[u8],
    principal: &str,
    namespace: &str,
    now: SystemTime,
) -> Result<(), String> {
    let mut why = format!("for {principal}");
    let mut is_told = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let signer = Signer::read(line);
        match signer.and_then(|signer| signer.allow(key, principal, namespace, now)) {
            Ok(()) => return Ok(()),
            Err(Denial::Because(clause)) if !is_told => {
                is_told = true;
                why = format!("(line {}: {clause})", at + 1);
            }
            Err(_) => {}
        }
    }
    Err(format!(
        "is by no key that import.allowed_signers allows {why}"
    ))
}

#[derive(Debug, PartialEq, Eq)]
enum Denial {
    /// The line is about another key or principal.
    Other,
    Because(String),
}

fn because<T>(clause: impl Into<String>) -> Result<T, Denial> {
    Err(Denial::Because(clause.into()))
}

/// One line.
#[derive(Debug, Default)]
struct Signer {
    principals: String,
    key: Vec<u8>,
    is_authority: bool,
    namespaces: Option<String>,
    valid_after: Option<SystemTime>,
    valid_before: Option<SystemTime>,
}

impl Signer {
    fn read(line: &str) -> Result<Self, Denial> {
        let Some((principals, rest)) = word(line) else {
            return because("a principal's quote does not end");
        };
        let mut signer = Self {
            principals,
            ..Self::default()
        };
        if let Some(key) = key_of(rest) {
            signer.key = key;
            return Ok(signer);
        }
        let Some((options, rest)) = word(rest) else {
            return because("an option's quote does not end");
        };
        let Some(key) = key_of(rest) else {
            return because("there is no key of ssh in it");
        };
        signer.key = key;
        for option in split_unquoted(&options) {
            signer.option(option)?;
        }
        Ok(signer)
    }

    fn option(&mut self, option: &str) -> Result<(), Denial> {
        let (name, value) = match option.split_once('=') {
            Some((name, quoted)) => (name, unquoted(quoted)),
            None => (option, None),
        };
        // Without a time zone in it, a date is its author's local one: it never allows more than
        // meant.
        match (name.to_ascii_lowercase().as_str(), value) {
            ("cert-authority", None) if name == option => self.is_authority = true,
            ("namespaces", Some(patterns)) if self.namespaces.is_none() => {
                self.namespaces = Some(patterns.to_owned());
            }
            ("valid-after", _) => {
                let (_, latest) = date(name, value)?;
                self.valid_after = Some(latest);
            }
            ("valid-before", _) => {
                let (earliest, _) = date(name, value)?;
                self.valid_before = Some(earliest);
            }
            _ => return because(format!("the option {} is not known", name.escape_debug())),
        }
        Ok(())
    }

    fn allow(
        &self,
        key: &[u8],
        principal: &str,
        namespace: &str,
        now: SystemTime,
    ) -> Result<(), Denial> {
        if !matches_list(&self.principals, principal) {
            return Err(Denial::Other);
        }
        if self.is_authority {
            return because("cert-authority is not supported: list the keys themselves");
        }
        if self.key != key {
            return Err(Denial::Other);
        }
        if let Some(patterns) = &self.namespaces
            && !matches_list(patterns, namespace)
        {
            return because(format!(
                "this key may not sign in the namespace {namespace}"
            ));
        }
        if self.valid_after.is_some_and(|time| now < time) {
            return because("this key is not valid yet");
        }
        if self.valid_before.is_some_and(|time| now > time) {
            return because("this key is not valid any more");
        }
        Ok(())
    }
}

/// `ssh-ed25519 AAAA… comment`: the key, whose first field repeats its kind.
fn key_of(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_ascii_whitespace();
    let kind = words.next()?;
    let encoded = words.next()?;
    let key = STANDARD.decode(encoded).ok()?;
    if super::wire::Wire(&key).string() != Ok(kind.as_bytes()) {
        return None;
    }
    Some(key)
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The first word, whose quotes may hold blanks, and what follows it. Quotes around the whole of it
/// are not part of it.
fn word(text: &str) -> Option<(String, &str)> {
    let mut quoted = false;
    let mut before = ' ';
    let end = text.find(|c: char| {
        quoted ^= c == '"' && before != '\\';
        before = c;
        matches!(c, ' ' | '\t') && !quoted
    });
    if quoted && end.is_none() {
        return None;
    }
    let (first, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    let bare = unquoted(first).unwrap_or(first);
    Some((bare.to_owned(), rest.trim_start_matches([' ', '\t'])))
}

/// At the commas that stand in no quotes.
fn split_unquoted(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

fn date(name: &str, value: Option<&str>) -> Result<(SystemTime, SystemTime), Denial> {
    match value.and_then(moment) {
        Some(range) => Ok(range),
        None => because(format!("{name} is no date such as 20260131Z")),
    }
}

/// `20260131`, `202601311200` or `20260131120000`, in UTC with `Z` or `UTC` behind it: the earliest
/// and the latest time that it may mean.
fn moment(text: &str) -> Option<(SystemTime, SystemTime)> {
    let utc = text.strip_suffix('Z').or_else(|| text.strip_suffix("UTC"));
    let digits = utc.unwrap_or(text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let full = format!("{digits:0<14}");
    let (date, time) = full.split_at_checked(8)?;
    let (year, day) = date.split_at_checked(4)?;
    let (month, day) = day.split_at_checked(2)?;
    let (hour, minute) = time.split_at_checked(2)?;
    let (minute, second) = minute.split_at_checked(2)?;
    let written = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let time = humantime::parse_rfc3339(&written).ok()?;
    if utc.is_some() {
        return Some((time, time));
    }
    let earliest = time.checked_sub(EAST_OF_UTC)?;
    let latest = time.checked_add(WEST_OF_UTC)?;
    Some((earliest, latest))
}

/// Whether a list of patterns, separated by commas, has this; one with `!` that matches takes it
/// out (ssh_config(5), PATTERNS).
fn matches_list(patterns: &str, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
    found
}

/// With `*` for anything and `?` for one character. Looks back to the last `*` only, so that it
/// takes no longer than it must.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut at = 0;
    let mut next = 0;
    let mut retry = None;
    while let Some(c) = text.get(at) {
        match (pattern.get(next), retry) {
            (Some(b'*'), _) => {
                next += 1;
                retry = Some((next, at));
            }
            (Some(wanted), _) if *wanted == b'?' || wanted == c => {
                next += 1;
                at += 1;
            }
            (_, Some((after, from))) => {
                next = after;
                at = from + 1;
                retry = Some((after, at));
            }
            (_, None) => return false,
        }
    }
    let rest = pattern.get(next..).unwrap_or_default();
    rest.iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";

    fn key() -> Vec<u8> {
        key_of(KEY).unwrap()
    }

    fn now() -> SystemTime {
        humantime::parse_rfc3339("2026-06-15T12:00:00Z").unwrap()
    }

    fn said(line: &str) -> Result<(), String> {
        allow(line, &key(), "larder", "larder", now())
    }

    #[test]
    fn a_line_allows_what_it_says_and_no_more() {
        for line in [
            "larder KEY",
            "larder KEY a comment",
            "  \tlarder\tKEY\r",
            "\"larder\" KEY",
            "a,larder KEY",
            "* KEY",
            "l?rder KEY",
            "*,!a KEY",
            "larder namespaces=\"larder\" KEY",
            "larder namespaces=\"git,lard*\" KEY",
            "larder NAMESPACES=\"larder\",valid-after=\"20260615Z\",valid-before=\"20260616UTC\" KEY",
            "larder valid-after=\"202606151200Z\" KEY",
            "larder valid-before=\"20260615120000Z\" KEY",
            "larder valid-after=\"20260614\",valid-before=\"20260617\" KEY",
            "# no\n\nother KEY\nlarder KEY",
            "larder nonsense KEY\nlarder KEY",
        ] {
            assert_eq!(said(&line.replace("KEY", KEY)), Ok(()), "{line}");
        }
        for (line, words) in [
            ("", "for larder"),
            ("other KEY", "for larder"),
            ("*,!larder KEY", "for larder"),
            ("!larder,* KEY", "for larder"),
            ("Larder KEY", "for larder"),
            (
                "larder cert-authority KEY",
                "line 1: cert-authority is not supported",
            ),
            (
                "\nlarder namespaces=\"git\" KEY",
                "line 2: this key may not sign in the namespace larder",
            ),
            ("larder namespaces=\"*,!larder\" KEY", "may not sign"),
            ("larder valid-after=\"20260616Z\" KEY", "not valid yet"),
            (
                "larder valid-before=\"202606151159Z\" KEY",
                "not valid any more",
            ),
            ("larder valid-after=\"202606150001\" KEY", "not valid yet"),
            ("larder valid-before=\"20260616\" KEY", "not valid any more"),
            ("larder valid-after=\"20261301Z\" KEY", "no date"),
            ("larder valid-after=2026 KEY", "no date"),
            ("larder unheard KEY", "the option unheard is not known"),
            (
                "larder namespaces KEY",
                "the option namespaces is not known",
            ),
            ("larder KEX", "there is no key of ssh in it"),
            (
                "larder ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
                "no key of ssh",
            ),
            ("\"larder KEY", "quote does not end"),
        ] {
            let told = said(&line.replace("KEY", KEY)).expect_err(line);
            assert!(told.contains(words), "{line}: {told}");
        }
        let other = [key(), vec![0]].concat();
        assert!(allow(&format!("larder {KEY}"), &other, "larder", "larder", now()).is_err());
    }

    #[test]
    fn patterns_match_as_those_of_ssh_do() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("?", "", false),
            ("?", "a", true),
            ("*a", "aaaa", true),
            ("a**", "a", true),
            ("*ab", "aab", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
