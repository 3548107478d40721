//! One requirement of PEP 508: `name[extras] >=1,<2 ; marker`, `name @ URL`, or a bare URL or path.

use pep440_rs::{Operator, VersionSpecifiers};
use url::Url;

use super::contents::{self, LockError, NonIndexPackage, NonIndexSource};
use super::locked_file;
use super::marker::Marker;
use crate::airgap::wanted::WantedVersions;
use crate::simple::ProjectName;
use crate::values::digest::Digest;

/// What follows the name decides what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Requirement {
    Project(ProjectRequirement),
    Direct(DirectReference),
}

/// A project of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectRequirement {
    pub project: ProjectName,
    pub specifiers: VersionSpecifiers,
    pub marker: Option<Marker>,
}

/// A URL or path, of no index (PEP 440 and 508: direct reference).
#[derive(Clone, Debug, PartialEq)]
pub struct DirectReference {
    pub name: Option<String>,
    pub source: NonIndexSource,
    pub url: Option<Url>,
    pub marker: Option<Marker>,
}

/// Endings that make a bare word a file.
const ARCHIVES: [&str; 6] = [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar"];

/// Reads one; extras are ignored, since a lock names what they bring.
pub fn read(text: &str, place: &str) -> Result<Requirement, LockError> {
    let text = text.trim();
    let (target, marker) = without_marker(text);
    if let Some(source) = bare(target) {
        let marker = contents::marker(marker, place)?;
        return Ok(direct(named_in_fragment(target), source, target, marker));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let rest = text.trim_start_matches(is_name);
    let name = text.strip_suffix(rest).unwrap_or_default();
    let rest = after_extras(rest.trim_start(), place)?;
    if let Some(target) = rest.strip_prefix('@') {
        let (target, marker) = without_marker(target.trim_start());
        let source = bare(target).unwrap_or(NonIndexSource::Path);
        let marker = contents::marker(marker, place)?;
        return Ok(direct(Some(name.to_owned()), source, target, marker));
    }
    let wrong = |why: &str| LockError::new(place, format!("`{text}` is not a requirement: {why}"));
    let project = match ProjectName::parse(name) {
        Ok(project) => project,
        Err(why) => return Err(wrong(&why.to_string())),
    };
    let (specifiers, marker) = rest.split_once(';').unwrap_or((rest, ""));
    let specifiers = match contents::specifiers(without_parentheses(specifiers.trim())) {
        Ok(specifiers) => specifiers,
        // The message draws arrows below its first line.
        Err(why) => return Err(wrong(why.to_string().lines().next().unwrap_or_default())),
    };
    Ok(Requirement::Project(ProjectRequirement {
        specifiers,
        marker: contents::marker(Some(marker), place)?,
        project,
    }))
}

fn direct(
    name: Option<String>,
    source: NonIndexSource,
    target: &str,
    marker: Option<Marker>,
) -> Requirement {
    let mut url = None;
    if source == NonIndexSource::DirectUrl {
        url = Url::parse(first_word(target)).ok();
    }
    Requirement::Direct(DirectReference {
        name,
        source,
        url,
        marker,
    })
}

impl DirectReference {
    /// What no index gives, with the sha256 of the options or of the URL itself.
    pub fn left_out(&self, hashes: &[String], place: &str) -> NonIndexPackage {
        let sha256 = locked_file::first_sha256(hashes);
        NonIndexPackage {
            project: self.name.clone(),
            source: self.source,
            at: self.url.as_ref().map(Url::to_string),
            sha256: sha256.or_else(|| sha256_in_fragment(self.url.as_ref()?)),
            url: self.url.clone(),
            marker: self.marker.clone(),
            place: place.to_owned(),
        }
    }
}

/// Which versions these are: one if they pin it, as `==1.2` does and `==1.2.*` does not.
pub fn versions(specifiers: &VersionSpecifiers) -> WantedVersions {
    if specifiers.is_empty() {
        return WantedVersions::Latest(1);
    }
    for specifier in specifiers.iter() {
        if matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual) {
            let pin = specifier.version();
            if specifiers.contains(pin) {
                return WantedVersions::Exactly(pin.clone());
            }
            break;
        }
    }
    WantedVersions::Matching(specifiers.clone())
}

/// A URL or path, and the marker behind it. A URL may have a semicolon of its own: one begins a
/// marker where a blank stands beside it, as pip and packaging have it, or where what follows is a
/// marker.
fn without_marker(text: &str) -> (&str, Option<&str>) {
    for (at, semicolon) in text.match_indices(';') {
        let (before, rest) = text.split_at(at);
        let marker = rest.strip_prefix(semicolon).unwrap_or_default();
        let apart =
            before.ends_with(char::is_whitespace) || marker.starts_with(char::is_whitespace);
        if apart || marker.is_empty() || Marker::parse(marker).is_ok() {
            return (before.trim_end(), Some(marker));
        }
    }
    (text, None)
}

/// The URL or path of a requirement that is of no index, without what stands around it.
pub fn location(text: &str) -> &str {
    let (target, _) = without_marker(text);
    let (_, target) = target.split_once(" @ ").unwrap_or(("", target));
    first_word(target.trim())
}

fn first_word(text: &str) -> &str {
    text.split([' ', '\t']).next().unwrap_or_default()
}

fn without_parentheses(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(') else {
        return text;
    };
    inner.strip_suffix(')').unwrap_or(text)
}

/// What a URL or path that stands alone is.
fn bare(text: &str) -> Option<NonIndexSource> {
    let word = first_word(text);
    match word.split_once("://") {
        Some(("http" | "https", _)) => return Some(NonIndexSource::DirectUrl),
        Some(("file", _)) => return Some(NonIndexSource::Path),
        Some((scheme, _)) if is_scheme(scheme) => return Some(NonIndexSource::Repository),
        _ => {}
    }
    let before = word.split(['@', '[']).next().unwrap_or_default();
    let is_path = word.starts_with(['.', '/', '~', '\\'])
        || before.contains(['/', '\\'])
        || ARCHIVES.iter().any(|ending| before.ends_with(ending));
    if is_path {
        return Some(NonIndexSource::Path);
    }
    None
}

fn is_scheme(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_part)
}

/// `#egg=NAME`, as older files have it.
fn named_in_fragment(text: &str) -> Option<String> {
    let (_, name) = text.split_once("#egg=")?;
    match name.split(['&', ' ', '[', '=', '<', '>']).next() {
        Some("") | None => None,
        Some(name) => Some(name.to_owned()),
    }
}

fn sha256_in_fragment(url: &Url) -> Option<Digest> {
    let mut pairs = url.fragment()?.split('&');
    Digest::parse(pairs.find_map(|pair| pair.strip_prefix("sha256="))?)
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
