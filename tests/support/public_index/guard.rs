//! What must never reach a public index: credentials that are not its own, private names, queries.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

use super::super::basic::{basic, unpack};
use super::super::http::{Door, Head};
use super::super::wheel::normalise;
use super::settings::Settings;

/// Fields that carry a credential or tell where somebody has been.
const TELLING: [&str; 7] = [
    "Authorization",
    "PRIVATE-TOKEN",
    "Deploy-Token",
    "JOB-TOKEN",
    "Cookie",
    "Proxy-Authorization",
    "Referer",
];

/// What is wrong with a request, if anything is.
pub(super) fn oddity(settings: &Settings, door: Door, head: &Head) -> Option<String> {
    let own = settings
        .credential
        .as_ref()
        .filter(|_| door == Door::Index)
        .map(expected);
    let told = TELLING.iter().find(|name| {
        let value = head.header(name);
        value.is_some() && !(**name == "Authorization" && value == own.as_deref())
    });
    if let Some(name) = told {
        return Some(format!("the field {name}"));
    }
    if query(head).is_some_and(|query| settings.query.is_empty() || query != settings.query) {
        return Some("a query".to_owned());
    }
    let segments = head
        .path()
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy());
    for segment in segments {
        if let Some(name) = settings.private.iter().find(|name| names(name, &segment)) {
            return Some(format!("the private name {name}"));
        }
    }
    None
}

/// What stands behind a request's path.
pub(super) fn query(head: &Head) -> Option<&str> {
    head.target.split_once('?').map(|(_, query)| query)
}

/// The `Authorization` of a Basic credential.
pub(super) fn expected((user, password): &(String, String)) -> String {
    basic(user, password)
}

/// Target and fields of a request in one text, with every Basic credential also in plain.
pub(super) fn everything_said(head: &Head) -> String {
    let mut text = percent_decode_str(&head.target)
        .decode_utf8_lossy()
        .into_owned();
    for (name, value) in &head.headers {
        let _ = write!(text, "\n{name}: {value}");
        if let Some((_, packed)) = value.split_once(' ')
            && let Some(plain) = unpack(packed.trim())
        {
            let _ = write!(text, " ({})", String::from_utf8_lossy(&plain));
        }
    }
    text
}

/// Whether a path's segment names a project that fits the pattern, by itself or at the start of a
/// file name.
fn names(pattern: &str, segment: &str) -> bool {
    let (pattern, segment) = (normalise(pattern), normalise(segment));
    let mut ends = vec![segment.len()];
    // The project ends before a dash that a version follows.
    ends.extend(
        segment
            .match_indices('-')
            .map(|(at, _)| at)
            .filter(|at| segment[at + 1..].starts_with(|next: char| next.is_ascii_digit())),
    );
    ends.iter().any(|end| fits(&pattern, &segment[..*end]))
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len())
                .any(|skipped| tail.is_char_boundary(skipped) && fits(rest, &tail[skipped..]))
        }),
    }
}
