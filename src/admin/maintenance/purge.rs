//! `purge`: removes what is named, whoever needs it.
//!
//! Lines first, then the bodies to which no other line leads. What is being downloaded meanwhile is left alone, and is
//! there again when it is done. Must not know what is in memory.

use std::collections::HashSet;

use super::census::{project_of, scope_of};
use super::error::UpkeepError;
use crate::control::{Amount, Purge, Purgeable, Purged, Reporter};
use crate::registry::{FileRef, MirrorPath, Route, Scope};
use crate::simple::ProjectName;
use crate::store::{IndexLine, IndexSubject, Removal, Store, WheelMark};
use crate::values::digest::Digest;

/// What is meant, understood.
enum Target {
    Project(Scope, ProjectName),
    /// A page, a file, or a wheel's metadata.
    Route(Route),
    /// A path of a mirror's.
    Path(MirrorPath),
    Digest(Digest),
    All,
}

impl Target {
    fn read(what: &Purgeable) -> Result<Self, UpkeepError> {
        let wrong =
            |text: &str, form: &str| UpkeepError::Order(format!("\"{text}\" is not {form}"));
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
                Ok(route @ (Route::Page(_) | Route::File(_) | Route::Sidecar(_))) => {
                    Self::Route(route)
                }
                Ok(_) | Err(_) => return Err(wrong(text, "the address of a page or a file")),
            },
        })
    }

    /// Whether the line says something of what is meant. Metadata has no address of its own: see [`Self::wheel`].
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
            Self::Route(Route::File(file) | Route::Sidecar(file)) => Some(WheelMark::of(file)),
            Self::Path(path) => {
                // The mark is the address's; the digest has no part in it.
                let path = path.metadata_of().unwrap_or_else(|| path.clone());
                Some(WheelMark::of(&FileRef::mirrored(&path, Digest::of(b""))))
            }
            _ => None,
        }
    }
}

pub(super) fn run(store: &Store, order: &Purge, out: &Reporter<Purged>) -> Result<(), UpkeepError> {
    let target = Target::read(&order.what)?;
    store.watched(|| purge(store, &target, order.dry_run, out))
}

fn purge(
    store: &Store,
    target: &Target,
    dry_run: bool,
    out: &Reporter<Purged>,
) -> Result<(), UpkeepError> {
    let mut taken: HashSet<Digest> = HashSet::new();
    let mut wheels: HashSet<WheelMark> = target.wheel().into_iter().collect();
    if let Target::Digest(digest) = target {
        taken.insert(*digest);
    }
    let mut lines = 0;
    let mut drop_line = |line: &IndexLine| -> Result<(), UpkeepError> {
        if !dry_run {
            store.forget(line)?;
        }
        lines += 1;
        Ok(out.tell(Purged::Line {
            name: line.name().to_owned(),
            sha256: line.digest.to_string(),
        })?)
    };
    store.every_line::<UpkeepError>(|index| {
        for line in index.lines.iter().filter(|line| target.takes(line)) {
            if let IndexSubject::File { file, .. } = &line.subject {
                wheels.insert(WheelMark::of(file));
            }
            taken.insert(line.digest);
            drop_line(line)?;
        }
        Ok(())
    })?;
    // A second look: the wheels are known now, and who else refers to what is taken.
    let mut shared: HashSet<Digest> = HashSet::new();
    let mut others: HashSet<Digest> = HashSet::new();
    store.every_line::<UpkeepError>(|index| {
        for line in &index.lines {
            match &line.subject {
                IndexSubject::Metadata { wheel }
                    if wheels.contains(wheel) && !matches!(target, Target::All) =>
                {
                    taken.insert(line.digest);
                    if !target.takes(line) {
                        drop_line(line)?;
                    }
                }
                _ if target.takes(line) => {}
                _ => drop(others.insert(line.digest)),
            }
        }
        Ok(())
    })?;
    shared.extend(taken.intersection(&others));
    let (mut bodies, mut skipped) = (Amount::default(), 0);
    for blob in store.every_blob()? {
        let goes = matches!(target, Target::All)
            || (taken.contains(&blob.digest) && !shared.contains(&blob.digest));
        if !goes {
            continue;
        }
        let took = if dry_run {
            Removal::Removed(blob.bytes)
        } else {
            store.take_blob(&blob)?
        };
        match took {
            Removal::Removed(bytes) => {
                bodies.add(bytes);
                out.tell(Purged::Body {
                    sha256: blob.digest.to_string(),
                    bytes,
                })?;
            }
            Removal::Changed => {}
            Removal::Busy => skipped += 1,
        }
    }
    let shared = shared.len() as u64;
    Ok(out.tell(Purged::Summary {
        dry_run,
        lines,
        bodies,
        shared,
        skipped,
    })?)
}
