//! requirements.txt as pip reads it: continuation lines, comments, options, variables, nested files and constraints.
//!
//! Nested files and variables are asked of the caller. A constraint restricts what is named elsewhere and adds nothing.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::VersionSpecifiers;
use url::Url;

use super::constraints::{self, Constraint};
use super::line::{self, Line};
use super::marker::Marker;
use super::reading::{self, LeftOut, LockError, Origin, Reading, Unlocked, sha256};
use super::releases::ReleaseControl;
use super::requirement::{self, Requirement};
use super::surroundings::Surroundings;
use crate::airgap::wanted::{Files, Versions, Wanted};
use crate::simple::ProjectName;
use crate::values::digest::Digest;
use crate::values::secret::without_credentials;

/// Files within files.
const DEPTH_MAX: usize = 16;

/// Files that one input may bring with it.
const FILES_MAX: usize = 200;

/// What a file's lines are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Requirements,
    Constraints,
}

/// A line that names a project.
#[derive(Debug)]
struct Named {
    project: ProjectName,
    specifiers: VersionSpecifiers,
    marker: Option<Marker>,
    hashes: Vec<String>,
    place: String,
}

struct Walk<'a, 's> {
    surroundings: &'a mut Surroundings<'s>,
    /// The files being read, each named by the one before it; here and in `seen` without detours.
    open: Vec<String>,
    seen: BTreeSet<(Purpose, String)>,
    named: Vec<Named>,
    constraints: BTreeMap<ProjectName, Vec<Constraint>>,
    releases: ReleaseControl,
    found: Reading,
}

/// Reads it and what it names; `name` is what the file is called in reports, and what nested names are relative to.
pub(super) fn read(
    name: &str,
    text: &str,
    surroundings: &mut Surroundings<'_>,
) -> Result<Reading, LockError> {
    let mut walk = Walk {
        surroundings,
        open: vec![direct(name)],
        seen: BTreeSet::from([(Purpose::Requirements, direct(name))]),
        named: Vec::new(),
        constraints: BTreeMap::new(),
        releases: ReleaseControl::default(),
        found: Reading::default(),
    };
    walk.file(name, text, Purpose::Requirements)?;
    walk.finish()
}

/// Reads a requirement that stands alone, as on a command line.
pub(super) fn read_one(text: &str, place: &str) -> Result<Reading, LockError> {
    let variable = |_: &str| None;
    let mut none = |_: &str| Err("not here".to_owned());
    let mut surroundings = Surroundings {
        read: &mut none,
        variable: &variable,
    };
    let mut walk = Walk {
        surroundings: &mut surroundings,
        open: Vec::new(),
        seen: BTreeSet::new(),
        named: Vec::new(),
        constraints: BTreeMap::new(),
        releases: ReleaseControl::default(),
        found: Reading::default(),
    };
    walk.requirement(text, Vec::new(), Purpose::Requirements, place)?;
    walk.finish()
}

impl Walk<'_, '_> {
    fn file(&mut self, name: &str, text: &str, purpose: Purpose) -> Result<(), LockError> {
        for (number, text) in line::logical(text) {
            let place = format!("{name}:{number}");
            let text = line::expanded(&text, self.surroundings.variable);
            match line::read(&text, &place)? {
                Line::Nothing => {}
                Line::Index(url) => self.found.index(Some(&url)),
                Line::Editable(target) => self.editable(&target, &place),
                Line::Releases(option, names) => self.releases.add(option, &names, &place)?,
                Line::Requirements(nested) => {
                    self.nested(name, &nested, Purpose::Requirements.max(purpose), &place)?
                }
                Line::Constraints(nested) => {
                    self.nested(name, &nested, Purpose::Constraints, &place)?
                }
                Line::Requirement { text, hashes } => {
                    self.requirement(&text, hashes, purpose, &place)?
                }
            }
        }
        Ok(())
    }

    fn nested(
        &mut self,
        from: &str,
        nested: &str,
        purpose: Purpose,
        place: &str,
    ) -> Result<(), LockError> {
        if nested.contains("://") {
            let shown = without_credentials(nested);
            return Err(LockError::new(
                place,
                format!("{shown} is not fetched: save it, and name the file here"),
            ));
        }
        let path = beside(from, nested);
        let identity = direct(&path);
        if self.open.contains(&identity) {
            return Err(LockError::new(
                place,
                format!(
                    "{identity} names itself, by way of {}",
                    self.open.join(", ")
                ),
            ));
        }
        if !self.seen.insert((purpose, identity.clone())) {
            return Ok(());
        }
        if self.open.len() > DEPTH_MAX || self.seen.len() > FILES_MAX {
            let why =
                format!("more than {DEPTH_MAX} files within each other, or {FILES_MAX} in all");
            return Err(LockError::new(place, why));
        }
        let text = (self.surroundings.read)(&path)
            .map_err(|why| LockError::new(place, format!("cannot read {path}: {why}")))?;
        self.open.push(identity);
        self.file(&path, &text, purpose)?;
        self.open.pop();
        Ok(())
    }

    fn editable(&mut self, target: &str, place: &str) {
        let (project, why, url, marker) = match requirement::read(target, place) {
            Ok(Requirement::Elsewhere {
                name,
                why,
                url,
                marker,
            }) => (name, why, url, marker),
            _ => (None, Origin::Path, None, None),
        };
        let (place, at) = (
            place.to_owned(),
            Some(requirement::location(target).to_owned()),
        );
        self.found.left_out.push(LeftOut {
            project,
            why,
            url,
            at,
            sha256: None,
            marker,
            place,
        });
    }

    fn requirement(
        &mut self,
        text: &str,
        hashes: Vec<String>,
        purpose: Purpose,
        place: &str,
    ) -> Result<(), LockError> {
        let place = place.to_owned();
        match (requirement::read(text, &place)?, purpose) {
            (
                Requirement::Project {
                    project,
                    specifiers,
                    marker,
                },
                Purpose::Requirements,
            ) => {
                self.named.push(Named {
                    project,
                    specifiers,
                    marker,
                    hashes,
                    place,
                });
            }
            (
                Requirement::Project {
                    project,
                    specifiers,
                    marker,
                },
                Purpose::Constraints,
            ) => {
                let constraint = Constraint {
                    specifiers,
                    marker,
                    hashes,
                    elsewhere: None,
                };
                self.constraints
                    .entry(project)
                    .or_default()
                    .push(constraint);
            }
            (
                Requirement::Elsewhere {
                    name,
                    why,
                    url,
                    marker,
                },
                Purpose::Requirements,
            ) => {
                let mut left = left_out(name, (why, url), &hashes, marker, place);
                left.at = Some(requirement::location(text).to_owned());
                self.found.left_out.push(left);
            }
            (
                Requirement::Elsewhere {
                    name,
                    why,
                    url,
                    marker,
                },
                Purpose::Constraints,
            ) => {
                // pip refuses a constraint without a name.
                let Some(name) = name else { return Ok(()) };
                let specifiers = VersionSpecifiers::empty();
                let constraint = Constraint {
                    specifiers,
                    marker,
                    hashes,
                    elsewhere: Some((why, url)),
                };
                self.constraints
                    .entry(reading::project(&name, &place)?)
                    .or_default()
                    .push(constraint);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Reading, LockError> {
        let constraints = std::mem::take(&mut self.constraints);
        for named in std::mem::take(&mut self.named) {
            let own = constraints
                .get(&named.project)
                .map(Vec::as_slice)
                .unwrap_or_default();
            self.add(&named, own)?;
        }
        Ok(self.found)
    }

    /// What one requirement means wherever other constraints hold.
    fn add(&mut self, named: &Named, constraints: &[Constraint]) -> Result<(), LockError> {
        let (mut pinned_somewhere, mut is_locked) = (false, true);
        for held in constraints::sets(named.marker.as_ref(), constraints, &named.place)? {
            let under = || held.constraints.iter();
            let hashes: Vec<String> = named
                .hashes
                .iter()
                .chain(under().flat_map(|constraint| &constraint.hashes))
                .cloned()
                .collect();
            if let Some(elsewhere) = under().find_map(|constraint| constraint.elsewhere.clone()) {
                let project = Some(named.project.to_string());
                let place = named.place.clone();
                self.found
                    .left_out
                    .push(left_out(project, elsewhere, &hashes, held.marker, place));
                pinned_somewhere = true;
                continue;
            }
            let own = named.specifiers.iter();
            let specifiers: VersionSpecifiers = own
                .chain(under().flat_map(|constraint| constraint.specifiers.iter()))
                .cloned()
                .collect();
            let versions = requirement::versions(&specifiers);
            let pinned = matches!(versions, Versions::Exactly(_));
            let digests: BTreeSet<Digest> = hashes.iter().filter_map(|hash| sha256(hash)).collect();
            pinned_somewhere |= pinned;
            is_locked &= pinned || !digests.is_empty();
            self.found.compare(
                &named.project,
                hashes.iter().map(String::as_str),
                &named.place,
            );
            self.found.add(Wanted {
                project: named.project.clone(),
                versions,
                files: if digests.is_empty() {
                    Files::Any
                } else {
                    Files::Hashed(digests)
                },
                requires_python: None,
                marker: held.marker,
                prereleases: self.releases.prereleases(&named.project),
                place: named.place.clone(),
            });
        }
        if !pinned_somewhere && !named.hashes.is_empty() {
            let why = format!(
                "with --hash a requirement must be pinned, as in {}==1.2",
                named.project
            );
            return Err(LockError::new(&named.place, why));
        }
        if !is_locked {
            let (project, place) = (named.project.clone(), named.place.clone());
            self.found.unlocked.push(Unlocked { project, place });
        }
        Ok(())
    }
}

fn left_out(
    project: Option<String>,
    (why, url): (Origin, Option<Url>),
    hashes: &[String],
    marker: Option<Marker>,
    place: String,
) -> LeftOut {
    let sha256 = hashes
        .iter()
        .find_map(|hash| sha256(hash))
        .or_else(|| in_fragment(url.as_ref()));
    let at = url.as_ref().map(Url::to_string);
    LeftOut {
        project,
        why,
        url,
        at,
        sha256,
        marker,
        place,
    }
}

/// A path without `.` and `..`, as far as its text tells: by this a file is known again.
fn direct(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." if segments
                .last()
                .is_some_and(|last| !matches!(*last, ".." | "")) =>
            {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    segments.join("/")
}

/// The name that a nested file has for the caller: relative to the file that names it.
fn beside(from: &str, nested: &str) -> String {
    let rooted = nested.starts_with(['/', '\\']) || nested.get(1..2) == Some(":");
    let nested = nested.trim_start_matches("./");
    match from.rsplit_once('/') {
        Some((folder, _)) if !rooted => format!("{folder}/{nested}"),
        _ => nested.to_owned(),
    }
}

fn in_fragment(url: Option<&Url>) -> Option<Digest> {
    Digest::parse(
        url?.fragment()?
            .split('&')
            .find_map(|pair| pair.strip_prefix("sha256="))?,
    )
}
