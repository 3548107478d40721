//! `purge`: removes what is named, needed or not.
//!
//! Lines first, then the bodies to which no other line leads. What is being downloaded meanwhile is
//! left alone, and is there again when it is done. At last what was learned, so that what is served
//! meanwhile does not begin to learn it anew. A line whose address is to be taken back from the
//! shared store goes only after that was done, so that a purge that failed can be repeated. Must not
//! know what is in memory.

use std::collections::{BTreeSet, HashSet};

use tokio::runtime::Handle;

use super::error::MaintenanceError;
use super::selection::Selection;
use crate::control::{Amount, Purge, Purgeable, Purged, Reporter};
use crate::file::Files;
use crate::registry::{FileRef, Scope};
use crate::store::{IndexLine, IndexSubject, Removal, Store, WheelMark};
use crate::upstream::{PUBLIC_INDEX, SharedStoreError};
use crate::values::digest::Digest;

pub(super) fn run(
    store: &Store,
    files: &Files,
    command: &Purge,
    out: &Reporter<Purged>,
) -> Result<(), MaintenanceError> {
    let target = match &command.what {
        Purgeable::Named(named) => Selection::read(named)?,
        Purgeable::All => Selection::All,
    };
    if command.shared {
        let writes = files.writes_shared();
        writes.map_err(|why| MaintenanceError::Command(why.to_string()))?;
    }
    let mut purge = PurgeRun {
        store,
        target,
        dry_run: command.dry_run,
        out,
        shared_files: if command.shared { Some(files) } else { None },
        taken_back: 0,
        kept: 0,
        lines: 0,
        taken: HashSet::new(),
        wheels: HashSet::new(),
        others: HashSet::new(),
    };
    store.watched(|| purge.run())
}

struct PurgeRun<'a> {
    store: &'a Store,
    target: Selection,
    dry_run: bool,
    out: &'a Reporter<Purged>,
    /// The shared store, if what it says is taken back too.
    shared_files: Option<&'a Files>,
    /// Addresses of which it says nothing any more, and those that stay because it may.
    taken_back: u64,
    kept: u64,
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
        if let Selection::Digest(digest) = &self.target {
            self.taken.insert(*digest);
        }
        self.drop_lines()?;
        // A second look: the wheels are known now.
        self.drop_metadata()?;
        let shared: HashSet<Digest> = self.taken.intersection(&self.others).copied().collect();
        let mut bodies = Amount::default();
        let mut skipped = 0;
        for blob in self.store.every_blob()? {
            let is_taken = match self.target {
                Selection::All => true,
                _ => self.taken.contains(&blob.digest),
            };
            if !is_taken || self.others.contains(&blob.digest) {
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
        self.forget_learned()?;
        self.out.tell(Purged::Summary {
            dry_run: self.dry_run,
            lines: self.lines,
            bodies,
            shared: shared.len() as u64,
            skipped,
            taken_back: self.taken_back,
        })?;
        match self.kept {
            0 => Ok(()),
            kept => Err(MaintenanceError::Command(format!(
                "{kept} of these files stay here, because the shared store may still know them: run it again"
            ))),
        }
    }

    /// Forgets where the public index is, if that is meant; with everything, all that was learned.
    fn forget_learned(&self) -> Result<(), MaintenanceError> {
        let is_meant = match &self.target {
            Selection::All => true,
            Selection::Scope(scope) => Scope::mirror(PUBLIC_INDEX).as_ref() == Some(scope),
            _ => false,
        };
        if !is_meant {
            return Ok(());
        }
        let learned = &self.store.learned;
        let indexes: BTreeSet<String> = learned.facts().public_indexes.into_values().collect();
        if !self.dry_run {
            match self.target {
                Selection::All => learned.clear()?,
                _ => learned.forget_public_indexes()?,
            }
        }
        for url in indexes {
            self.out.tell(Purged::PublicIndex { url })?;
        }
        Ok(())
    }

    fn drop_lines(&mut self) -> Result<(), MaintenanceError> {
        self.store.every_line::<MaintenanceError>(|index| {
            for line in &index.lines {
                if !self.target.takes(line) {
                    continue;
                }
                if let IndexSubject::File { file, .. } = &line.subject {
                    self.drop_file(line, file)?;
                } else {
                    self.taken.insert(line.digest);
                    self.drop_line(line)?;
                }
            }
            Ok(())
        })
    }

    /// Drops the line of a file, after the shared store was told if that is meant.
    fn drop_file(&mut self, line: &IndexLine, file: &FileRef) -> Result<(), MaintenanceError> {
        // Until the line is gone too: an upload that is under way would put the fact back.
        let _held = self.store.upload_journal.hold_back(file);
        let wheel = WheelMark::of(file);
        if let Err(why) = self.take_back(file) {
            self.kept += 1;
            self.others.insert(line.digest);
            self.wheels.remove(&wheel);
            return Ok(self.out.tell(Purged::Kept {
                name: line.name().to_owned(),
                sha256: line.digest.to_string(),
                why: why.to_string(),
            })?);
        }
        self.wheels.insert(wheel);
        self.taken.insert(line.digest);
        self.drop_line(line)
    }

    /// Has the shared store say nothing of an address any more, if that is meant.
    fn take_back(&mut self, file: &FileRef) -> Result<(), SharedStoreError> {
        let Some(files) = self.shared_files else {
            return Ok(());
        };
        if !self.dry_run {
            Handle::current().block_on(files.take_back(file))?;
        }
        self.taken_back += 1;
        Ok(())
    }

    /// Drops the metadata of the wheels that go, and notes which bodies the other lines lead to.
    fn drop_metadata(&mut self) -> Result<(), MaintenanceError> {
        let everything = matches!(self.target, Selection::All);
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
