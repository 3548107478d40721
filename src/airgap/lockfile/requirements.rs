//! requirements.txt as pip reads it: continuation lines, comments, options, variables, nested files and constraints.
//!
//! Nested files and variables are asked of the caller. A constraint restricts what is named elsewhere and adds nothing.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::VersionSpecifiers;

use super::line::{self, Line};
use super::reading::{LeftOut, LockError, Origin, Reading, Unlocked, sha256};
use super::requirement::{self, Requirement};
use super::surroundings::Surroundings;
use crate::airgap::wanted::{Files, Versions, Wanted};
use crate::digest::Digest;
use crate::simple::ProjectName;

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
    marker: Option<super::marker::Marker>,
    hashes: Vec<String>,
    place: String,
}

struct Walk<'a, 's> {
    surroundings: &'a mut Surroundings<'s>,
    /// The files being read, each named by the one before it.
    open: Vec<String>,
    seen: BTreeSet<(Purpose, String)>,
    named: Vec<Named>,
    constraints: BTreeMap<ProjectName, Vec<Named>>,
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
        open: vec![name.to_owned()],
        seen: BTreeSet::from([(Purpose::Requirements, name.to_owned())]),
        named: Vec::new(),
        constraints: BTreeMap::new(),
        found: Reading::default(),
    };
    walk.file(name, text, Purpose::Requirements)?;
    walk.finish()
}

/// Reads a requirement that stands alone, as on a command line.
pub(super) fn read_one(text: &str, place: &str) -> Result<Reading, LockError> {
    let variable = |_: &str| None;
    let mut none = |_: &str| Err("not here".to_owned());
    let mut surroundings = Surroundings { read: &mut none, variable: &variable };
    let mut walk = Walk {
        surroundings: &mut surroundings,
        open: Vec::new(),
        seen: BTreeSet::new(),
        named: Vec::new(),
        constraints: BTreeMap::new(),
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
                Line::Requirements(nested) => {
                    self.nested(name, &nested, Purpose::Requirements.max(purpose), &place)?
                }
                Line::Constraints(nested) => self.nested(name, &nested, Purpose::Constraints, &place)?,
                Line::Requirement { text, hashes } => self.requirement(&text, hashes, purpose, &place)?,
            }
        }
        Ok(())
    }

    fn nested(&mut self, from: &str, nested: &str, purpose: Purpose, place: &str) -> Result<(), LockError> {
        if nested.contains("://") {
            return Err(LockError::new(
                place,
                format!("{nested} is not fetched: save it, and name the file here"),
            ));
        }
        let path = beside(from, nested);
        if self.open.contains(&path) {
            return Err(LockError::new(
                place,
                format!("{path} names itself, by way of {}", self.open.join(", ")),
            ));
        }
        if !self.seen.insert((purpose, path.clone())) {
            return Ok(());
        }
        if self.open.len() > DEPTH_MAX || self.seen.len() > FILES_MAX {
            let why = format!("more than {DEPTH_MAX} files within each other, or {FILES_MAX} in all");
            return Err(LockError::new(place, why));
        }
        let text = (self.surroundings.read)(&path)
            .map_err(|why| LockError::new(place, format!("cannot read {path}: {why}")))?;
        self.open.push(path.clone());
        self.file(&path, &text, purpose)?;
        self.open.pop();
        Ok(())
    }

    fn editable(&mut self, target: &str, place: &str) {
        let (name, why, url) = match requirement::read(target, place) {
            Ok(Requirement::Elsewhere { name, why, url }) => (name, why, url),
            _ => (None, Origin::Path, None),
        };
        self.found.left_out.push(LeftOut { project: name, why, url, sha256: None, place: place.to_owned() });
    }

    fn requirement(
        &mut self,
        text: &str,
        hashes: Vec<String>,
        purpose: Purpose,
        place: &str,
    ) -> Result<(), LockError> {
        let place = place.to_owned();
        match requirement::read(text, &place)? {
            Requirement::Project { project, specifiers, marker } => {
                let named = Named { project, specifiers, marker, hashes, place };
                match purpose {
                    Purpose::Requirements => self.named.push(named),
                    Purpose::Constraints => {
                        self.constraints.entry(named.project.clone()).or_default().push(named);
                    }
                }
            }
            Requirement::Elsewhere { name, why, url } if purpose == Purpose::Requirements => {
                let sha256 =
                    hashes.iter().find_map(|hash| sha256(hash)).or_else(|| in_fragment(url.as_ref()));
                self.found.left_out.push(LeftOut { project: name, why, url, sha256, place });
            }
            Requirement::Elsewhere { .. } => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Reading, LockError> {
        for named in std::mem::take(&mut self.named) {
            let constraints = self.constraints.get(&named.project).map(Vec::as_slice).unwrap_or_default();
            // One under a marker does not hold everywhere, and an input is read for several machines at once.
            let holding = || constraints.iter().filter(|constraint| constraint.marker.is_none());
            let specifiers: VersionSpecifiers = named
                .specifiers
                .iter()
                .chain(holding().flat_map(|constraint| constraint.specifiers.iter()))
                .cloned()
                .collect();
            let hashes: Vec<&String> =
                named.hashes.iter().chain(holding().flat_map(|constraint| &constraint.hashes)).collect();
            let versions = requirement::versions(&specifiers);
            let pinned = matches!(versions, Versions::Exactly(_));
            if !pinned && !named.hashes.is_empty() {
                let why = format!("with --hash a requirement must be pinned, as in {}==1.2", named.project);
                return Err(LockError::new(&named.place, why));
            }
            let digests: BTreeSet<Digest> = hashes.iter().filter_map(|hash| sha256(hash)).collect();
            if !pinned && digests.is_empty() {
                let (project, place) = (named.project.clone(), named.place.clone());
                self.found.unlocked.push(Unlocked { project, place });
            }
            self.found.add(Wanted {
                project: named.project,
                versions,
                files: if digests.is_empty() { Files::Any } else { Files::Hashed(digests) },
                requires_python: None,
                marker: named.marker,
                place: named.place,
            });
        }
        Ok(self.found)
    }
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

fn in_fragment(url: Option<&url::Url>) -> Option<Digest> {
    Digest::parse(url?.fragment()?.split('&').find_map(|pair| pair.strip_prefix("sha256="))?)
}
