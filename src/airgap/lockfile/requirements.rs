//! requirements.txt as pip reads it: continuation lines, comments, options, variables, nested files
//! and constraints.
//!
//! Nested files and variables are asked of the caller. A constraint restricts what is named
//! elsewhere and adds nothing.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::{VersionSpecifier, VersionSpecifiers};

use super::constraints::{self, Constraint};
use super::contents::{self, LockContents, LockError, NonIndexPackage, NonIndexSource, Unlocked};
use super::locked_file;
use super::releases::ReleaseControl;
use super::requirement::{self, DirectReference, ProjectRequirement, Requirement};
use super::requirements_line::{self, RequirementsLine};
use super::surroundings::Surroundings;
use crate::airgap::wanted::{WantedFiles, WantedProject, WantedVersions};
use crate::simple::ProjectName;
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
struct NamedLine {
    requirement: ProjectRequirement,
    hashes: Vec<String>,
    place: String,
}

struct RequirementsReader<'a, 's> {
    surroundings: &'a mut Surroundings<'s>,
    /// The files being read, each named by the one before it; here and in `seen` without detours.
    open: Vec<String>,
    seen: BTreeSet<(Purpose, String)>,
    named: Vec<NamedLine>,
    constraints: BTreeMap<ProjectName, Vec<Constraint>>,
    releases: ReleaseControl,
    found: LockContents,
}

/// Reads it and what it names; `name` is what the file is called in reports, and what nested names
/// are relative to.
pub fn read(
    name: &str,
    text: &str,
    surroundings: &mut Surroundings<'_>,
) -> Result<LockContents, LockError> {
    let mut reader = RequirementsReader::new(surroundings);
    reader.open.push(direct(name));
    reader.seen.insert((Purpose::Requirements, direct(name)));
    reader.file(name, text, Purpose::Requirements)?;
    reader.finish()
}

/// Reads a requirement that stands alone, as on a command line.
pub fn read_one(text: &str, place: &str) -> Result<LockContents, LockError> {
    let mut surroundings = Surroundings {
        read: &mut |_| Err("not here".to_owned()),
        variable: &|_| None,
    };
    let mut reader = RequirementsReader::new(&mut surroundings);
    reader.requirement(text, Vec::new(), Purpose::Requirements, place)?;
    reader.finish()
}

impl<'a, 's> RequirementsReader<'a, 's> {
    fn new(surroundings: &'a mut Surroundings<'s>) -> Self {
        Self {
            surroundings,
            open: Vec::new(),
            seen: BTreeSet::new(),
            named: Vec::new(),
            constraints: BTreeMap::new(),
            releases: ReleaseControl::default(),
            found: LockContents::default(),
        }
    }

    fn file(&mut self, name: &str, text: &str, purpose: Purpose) -> Result<(), LockError> {
        for (number, text) in requirements_line::logical(text) {
            let place = format!("{name}:{number}");
            let text = requirements_line::expanded(&text, self.surroundings.variable);
            match requirements_line::read(&text, &place)? {
                RequirementsLine::Nothing => {}
                RequirementsLine::Index(url) => self.found.index(Some(&url)),
                RequirementsLine::Editable(target) => self.editable(&target, &place),
                RequirementsLine::Releases(option, names) => {
                    self.releases.add(option, &names, &place)?
                }
                RequirementsLine::Requirements(nested) => {
                    self.nested(name, &nested, Purpose::Requirements.max(purpose), &place)?
                }
                RequirementsLine::Constraints(nested) => {
                    self.nested(name, &nested, Purpose::Constraints, &place)?
                }
                RequirementsLine::Requirement { text, hashes } => {
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
            let why = format!("{shown} is not fetched: save it, and name the file here");
            return Err(LockError::new(place, why));
        }
        let path = beside(from, nested);
        let identity = direct(&path);
        if self.open.contains(&identity) {
            let way = self.open.join(", ");
            let why = format!("{identity} names itself, by way of {way}");
            return Err(LockError::new(place, why));
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
        let reference = match requirement::read(target, place) {
            Ok(Requirement::Direct(reference)) => reference,
            _ => DirectReference {
                name: None,
                source: NonIndexSource::Path,
                url: None,
                marker: None,
            },
        };
        self.found.left_out.push(NonIndexPackage {
            at: Some(requirement::location(target).to_owned()),
            sha256: None,
            ..reference.left_out(&[], place)
        });
    }

    fn requirement(
        &mut self,
        text: &str,
        hashes: Vec<String>,
        purpose: Purpose,
        place: &str,
    ) -> Result<(), LockError> {
        let requirement = requirement::read(text, place)?;
        if purpose == Purpose::Constraints {
            return self.constrain(requirement, hashes, place);
        }
        match requirement {
            Requirement::Project(requirement) => self.named.push(NamedLine {
                requirement,
                hashes,
                place: place.to_owned(),
            }),
            Requirement::Direct(reference) => self.found.left_out.push(NonIndexPackage {
                at: Some(requirement::location(text).to_owned()),
                ..reference.left_out(&hashes, place)
            }),
        }
        Ok(())
    }

    fn constrain(
        &mut self,
        requirement: Requirement,
        hashes: Vec<String>,
        place: &str,
    ) -> Result<(), LockError> {
        let (project, constraint) = match requirement {
            Requirement::Project(requirement) => {
                let constraint = Constraint {
                    specifiers: requirement.specifiers,
                    marker: requirement.marker,
                    hashes,
                    direct: None,
                };
                (requirement.project, constraint)
            }
            Requirement::Direct(reference) => {
                // pip refuses a constraint without a name.
                let Some(name) = &reference.name else {
                    return Ok(());
                };
                let project = contents::project(name, place)?;
                let constraint = Constraint {
                    specifiers: VersionSpecifiers::empty(),
                    marker: reference.marker.clone(),
                    hashes,
                    direct: Some(reference),
                };
                (project, constraint)
            }
        };
        let constraints = self.constraints.entry(project).or_default();
        constraints.push(constraint);
        Ok(())
    }

    fn finish(mut self) -> Result<LockContents, LockError> {
        let constraints = std::mem::take(&mut self.constraints);
        for line in std::mem::take(&mut self.named) {
            match constraints.get(&line.requirement.project) {
                Some(constraints) => self.add(&line, constraints)?,
                None => self.add(&line, &[])?,
            }
        }
        Ok(self.found)
    }

    /// What one requirement means wherever other constraints hold.
    fn add(&mut self, line: &NamedLine, constraints: &[Constraint]) -> Result<(), LockError> {
        let ProjectRequirement {
            project,
            specifiers,
            marker,
        } = &line.requirement;
        let mut pinned_somewhere = false;
        let mut is_locked = true;
        for set in constraints::sets(marker.as_ref(), constraints, &line.place)? {
            let mut hashes = line.hashes.clone();
            let mut specifiers: Vec<VersionSpecifier> = specifiers.to_vec();
            let mut direct = None;
            for constraint in &set.constraints {
                hashes.extend_from_slice(&constraint.hashes);
                specifiers.extend_from_slice(&constraint.specifiers);
                direct = direct.or(constraint.direct.as_ref());
            }
            if let Some(reference) = direct {
                self.found.left_out.push(NonIndexPackage {
                    project: Some(project.to_string()),
                    marker: set.marker,
                    ..reference.left_out(&hashes, &line.place)
                });
                pinned_somewhere = true;
                continue;
            }
            let versions = requirement::versions(&specifiers.into_iter().collect());
            let pinned = matches!(versions, WantedVersions::Exactly(_));
            let files = locked_file::hashed(&hashes);
            pinned_somewhere |= pinned;
            is_locked &= pinned || files != WantedFiles::Any;
            let algorithms = hashes.iter().map(|hash| locked_file::algorithm(hash));
            self.found.compare(project, algorithms, &line.place);
            self.found.add(WantedProject {
                project: project.clone(),
                versions,
                files,
                requires_python: None,
                marker: set.marker,
                prereleases: self.releases.prereleases(project),
                place: line.place.clone(),
            });
        }
        if !pinned_somewhere && !line.hashes.is_empty() {
            let why = format!("with --hash a requirement must be pinned, as in {project}==1.2");
            return Err(LockError::new(&line.place, why));
        }
        if !is_locked {
            self.found.unlocked.push(Unlocked {
                project: project.clone(),
                place: line.place.clone(),
            });
        }
        Ok(())
    }
}

/// A path without `.` and `..`, as far as its text tells: by this a file is known again.
fn direct(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => match segments.last() {
                None | Some(&(".." | "")) => segments.push(segment),
                Some(_) => drop(segments.pop()),
            },
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
