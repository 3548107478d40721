//! `purge`: removes what is named, needed or not.
//!
//! Lines first, then the bodies to which no other line leads. What is being downloaded meanwhile is
//! left alone, and is there again when it is done. Must not know what is in memory.

use std::collections::HashSet;

use super::census::{project_of, scope_of};
use super::error::MaintenanceError;
use crate::control::{Amount, Purge, Purgeable, Purged, Reporter};
use crate::registry::{FileRef, MirrorPath, Route, Scope};
use crate::simple::ProjectName;
use crate::store::{IndexLine, IndexSubject, Removal, Store, WheelMark};
use crate::values::digest::Digest;

/// What is meant, understood.
enum PurgeTarget {
    Project(Scope, ProjectName),
    /// A page, a file, or a wheel's metadata.
    Route(Route),
    /// A path of a mirror's.
    Path(MirrorPath),
    Digest(Digest),
    All,
}

impl PurgeTarget {
    fn read(what: &Purgeable) -> Result<Self, MaintenanceError> {
        let wrong =
            |text: &str, form: &str| MaintenanceError::Command(format!("\"{text}\" is not {form}"));
        Ok(match what {
            Purgeable::All => Self::All,
            Purgeable::Sha256(text) => {
                Self::Digest(Digest::parse(text).ok_or_else(|| wrong(text, "a sha256"))?)
            }
            Purgeable::Project { scope, project } => Self::Project(
                scope_of(scope).ok_or_else(|| wrong(scope, "a scope such as projects/42"))?,
                ProjectName::parse(project).map_err(|_| wrong(project, "a project's name"))?,
            ),
            Purgeable::Address(text) => match Route::from_path(text) {
                Ok(Route::Mirrored(path)) => Self::Path(path),
                Ok(route @ (Route::Page(_) | Route::File(_) | Route::Metadata(_))) => {
                    Self::Route(route)
                }
                Ok(_) | Err(_) => return Err(wrong(text, "the address of a page or a file")),
            },
        })
    }

    /// Whether the line says something of what is meant. Metadata has no address of its own: see
    /// [`Self::wheel`].
    fn takes(&self, line: &IndexLine) -> bool {
        match (self, &line.subject) {
            (Self::All, _) => true,
            (Self::Digest(digest), _) => *digest == line.digest,
            (Self::Project(scope, name), IndexSubject::File { file, .. }) => {
                file.scope == *scope && project_of(file).as_ref() == Some(name)
            }
            (
                Self::Project(scope, name),
                IndexSubject::Page { page, .. } | IndexSubject::Withdrawn { page, .. },
            ) => page.scope == *scope && page.name.as_ref() == Some(name),
            (
                Self::Route(Route::Page(wanted)),
                IndexSubject::Page { page, .. } | IndexSubject::Withdrawn { page, .. },
            ) => page == wanted,
            (Self::Route(Route::File(wanted)), IndexSubject::File { file, .. }) => file == wanted,
            (Self::Path(path), IndexSubject::File { file, .. }) => file.mirror_path() == Some(path),
            _ => false,
        }
    }

    /// The wheel whose metadata is meant, whether or not anything is known of the wheel.
    fn wheel(&self) -> Option<WheelMark> {
        match self {
            Self::Route(Route::File(file) | Route::Metadata(file)) => Some(WheelMark::of(file)),
            Self::Path(path) => {
                // The mark is the address's; the digest has no part in it.
                let path = path.metadata_of().unwrap_or_else(|| path.clone());
                Some(WheelMark::of(&FileRef::mirrored(&path, Digest::of(b""))))
            }
            _ => None,
        }
    }
}

pub(super) fn run(
    store: &Store,
    command: &Purge,
    out: &Reporter<Purged>,
) -> Result<(), MaintenanceError> {
    let target = PurgeTarget::read(&command.what)?;
    let mut purge = PurgeRun {
        store,
        target,
        dry_run: command.dry_run,
        out,
        lines: 0,
        taken: HashSet::new(),
        wheels: HashSet::new(),
        others: HashSet::new(),
    };
    store.watched(|| purge.run())
}

struct PurgeRun<'a> {
    store: &'a Store,
    target: PurgeTarget,
    dry_run: bool,
    out: &'a Reporter<Purged>,
    /// Index lines that were removed.
    lines: u64,
    /// Bodies to which a removed line led.
    taken: HashSet<Digest>,
    /// Wheels whose metadata goes with them.
    wheels: HashSet<WheelMark>,
    /// Bodies to which another line leads.
    others: HashSet<Digest>,
}

impl PurgeRun<'_> {
    fn run(&mut self) -> Result<(), MaintenanceError> {
        self.wheels.extend(self.target.wheel());
        if let PurgeTarget::Digest(digest) = &self.target {
            self.taken.insert(*digest);
        }
        if matches!(self.target, PurgeTarget::All) && !self.dry_run {
            self.store.learned.clear()?;
        }
        self.drop_lines()?;
        // A second look: the wheels are known now.
        self.drop_metadata()?;
        let shared: HashSet<Digest> = self.taken.intersection(&self.others).copied().collect();
        let mut bodies = Amount::default();
        let mut skipped = 0;
        for blob in self.store.every_blob()? {
            let is_taken = self.taken.contains(&blob.digest) && !shared.contains(&blob.digest);
            if !is_taken && !matches!(self.target, PurgeTarget::All) {
                continue;
            }
            let took = match self.dry_run {
                true => Removal::Removed(blob.bytes),
                false => self.store.take_blob(&blob)?,
            };
            match took {
                Removal::Removed(bytes) => {
                    bodies.add(bytes);
                    let sha256 = blob.digest.to_string();
                    self.out.tell(Purged::Body { sha256, bytes })?;
                }
                Removal::Changed => {}
                Removal::Busy => skipped += 1,
            }
        }
        Ok(self.out.tell(Purged::Summary {
            dry_run: self.dry_run,
            lines: self.lines,
            bodies,
            shared: shared.len() as u64,
            skipped,
        })?)
    }

    fn drop_lines(&mut self) -> Result<(), MaintenanceError> {
        self.store.every_line::<MaintenanceError>(|index| {
            for line in &index.lines {
                if !self.target.takes(line) {
                    continue;
                }
                if let IndexSubject::File { file, .. } = &line.subject {
                    self.wheels.insert(WheelMark::of(file));
                }
                self.taken.insert(line.digest);
                self.drop_line(line)?;
            }
            Ok(())
        })
    }

    /// Drops the metadata of the wheels that go, and notes which bodies the other lines lead to.
    fn drop_metadata(&mut self) -> Result<(), MaintenanceError> {
        let everything = matches!(self.target, PurgeTarget::All);
        self.store.every_line::<MaintenanceError>(|index| {
            for line in &index.lines {
                let is_target = self.target.takes(line);
                match &line.subject {
                    IndexSubject::Metadata { wheel }
                        if !everything && self.wheels.contains(wheel) =>
                    {
                        self.taken.insert(line.digest);
                        if !is_target {
                            self.drop_line(line)?;
                        }
                    }
                    _ if is_target => {}
                    _ => {
                        self.others.insert(line.digest);
                    }
                }
            }
            Ok(())
        })
    }

    fn drop_line(&mut self, line: &IndexLine) -> Result<(), MaintenanceError> {
        if !self.dry_run {
            self.store.forget(line)?;
        }
        self.lines += 1;
        Ok(self.out.tell(Purged::Line {
            name: line.name().to_owned(),
            sha256: line.digest.to_string(),
        })?)
    }
}
