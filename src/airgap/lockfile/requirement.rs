//! One requirement of PEP 508: `name[extras] >=1,<2 ; marker`, `name @ URL`, or a bare URL or path.

use pep440_rs::{Operator, VersionSpecifier, VersionSpecifiers};
use url::Url;

use super::marker::Marker;
use super::reading::{self, LockError, Origin};
use crate::airgap::wanted::Versions;
use crate::simple::ProjectName;

/// What follows the name decides what it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Requirement {
    Project {
        project: ProjectName,
        specifiers: VersionSpecifiers,
        marker: Option<Marker>,
    },
    /// Of no index.
    Elsewhere {
        name: Option<String>,
        why: Origin,
        url: Option<Url>,
        marker: Option<Marker>,
    },
}

/// Endings that make a bare word a file.
const ARCHIVES: [&str; 6] = [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar"];

/// Reads one; extras are ignored, since a lock names what they bring.
pub(super) fn read(text: &str, place: &str) -> Result<Requirement, LockError> {
    let text = text.trim();
    let (target, marker) = without_marker(text);
    if let Some((why, url)) = bare(target) {
        let marker = reading::marker(marker, place)?;
        return Ok(Requirement::Elsewhere {
            name: named_in_fragment(target),
            why,
            url,
            marker,
        });
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let rest = after_extras(rest.trim_start(), place)?;
    if let Some(target) = rest.strip_prefix('@') {
        let (target, marker) = without_marker(target.trim_start());
        let (why, url) = bare(target).unwrap_or((Origin::Path, None));
        let marker = reading::marker(marker, place)?;
        return Ok(Requirement::Elsewhere {
            name: Some(name.to_owned()),
            why,
            url,
            marker,
        });
    }
    let project = ProjectName::parse(name)
        .map_err(|why| LockError::new(place, format!("`{text}` is not a requirement: {why}")))?;
    let (specifiers, marker) = rest
        .split_once(';')
        .map_or((rest, None), |(left, right)| (left, Some(right)));
    let specifiers = specifiers.trim();
    let specifiers = specifiers
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(specifiers);
    Ok(Requirement::Project {
        specifiers: reading::specifiers(specifiers).map_err(|why| {
            LockError::new(
                place,
                format!(
                    "`{text}` is not a requirement: {}",
                    one_line(&why.to_string())
                ),
            )
        })?,
        marker: reading::marker(marker, place)?,
        project,
    })
}

/// Which versions these are: one if they pin it, as `==1.2` does and `==1.2.*` does not.
pub(super) fn versions(specifiers: &VersionSpecifiers) -> Versions {
    let pins =
        |one: &&VersionSpecifier| matches!(one.operator(), Operator::Equal | Operator::ExactEqual);
    match specifiers.iter().find(pins) {
        Some(pin) if specifiers.contains(pin.version()) => Versions::Exactly(pin.version().clone()),
        _ if specifiers.is_empty() => Versions::Latest(1),
        _ => Versions::Matching(specifiers.clone()),
    }
}

/// A URL or path, and the marker behind it. A URL may have a semicolon of its own: one begins a marker where a blank stands
/// beside it, as pip and packaging have it, or where what follows is a marker.
fn without_marker(text: &str) -> (&str, Option<&str>) {
    for (at, _) in text.match_indices(';') {
        let Some((before, marker)) = text.get(..at).zip(text.get(at + 1..)) else {
            continue;
        };
        let apart =
            before.ends_with(char::is_whitespace) || marker.starts_with(char::is_whitespace);
        if apart || marker.is_empty() || Marker::parse(marker).is_ok() {
            return (before.trim_end(), Some(marker));
        }
    }
    (text, None)
}

/// The URL or path of a requirement that is of no index, without what stands around it.
pub(super) fn location(text: &str) -> &str {
    let (target, _) = without_marker(text);
    let behind_name = target
        .split_once(" @ ")
        .map_or(target, |(_, target)| target);
    behind_name
        .trim()
        .split([' ', '\t'])
        .next()
        .unwrap_or_default()
}

/// A URL or path that stands alone.
fn bare(text: &str) -> Option<(Origin, Option<Url>)> {
    let word = text.split([' ', '\t']).next().unwrap_or_default();
    if let Some((scheme, _)) = word
        .split_once("://")
        .filter(|(scheme, _)| is_scheme(scheme))
    {
        return Some(match scheme {
            "http" | "https" => (Origin::DirectUrl, Url::parse(word).ok()),
            "file" => (Origin::Path, None),
            _ => (Origin::Repository, None),
        });
    }
    let before = word.split(['@', '[']).next().unwrap_or_default();
    let is_path = word.starts_with(['.', '/', '~', '\\'])
        || before.contains(['/', '\\'])
        || ARCHIVES.iter().any(|ending| before.ends_with(ending));
    is_path.then_some((Origin::Path, None))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// `#egg=NAME`, as older files have it.
fn named_in_fragment(text: &str) -> Option<String> {
    let (_, name) = text.split_once("#egg=")?;
    let name = name.split(['&', ' ', '[', '=', '<', '>']).next()?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

fn after_extras<'t>(text: &'t str, place: &str) -> Result<&'t str, LockError> {
    let Some(inner) = text.strip_prefix('[') else {
        return Ok(text);
    };
    match inner.split_once(']') {
        Some((_, rest)) => Ok(rest.trim_start()),
        None => Err(LockError::new(place, "extras without a closing `]`")),
    }
}

/// The first line of a message that draws arrows below the text.
fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
