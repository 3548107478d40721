//! `gc`: removes what nothing needs.
//!
//! In this order: lines of the index that lead nowhere any more, bodies that no line leads to, what
//! is over the budget, what was set aside long ago; then the index's files are shortened. Owns the
//! rules, which are pure. Must not remove what is under way: a body younger than [`YOUNG`], or put
//! in again meanwhile, stays.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::error::MaintenanceError;
use super::stats::amount;
use crate::control::{Cleared, ClearedSummary, Gc, Gone, Reporter};
use crate::registry::{Scope, is_portable};
use crate::store::{IndexFile, IndexLine, IndexSubject, Removal, Store, StoredBlob};
use crate::values::digest::Digest;

/// A body that nothing refers to is left alone for so long: its writer may be about to write
/// down whose it is.
const YOUNG: Duration = Duration::from_secs(3600);

/// A line without its body is kept for so long: it holds the validators with which the body is
/// asked for again.
const LINE_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What was set aside is kept for so long, for a person to look at.
const QUARANTINE_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// So many times a quiet moment is waited for in vain; then the rest is left without waiting.
const SKIPPED_MAX: u64 = 8;

pub(super) struct Collection<'a> {
    pub store: &'a Store,
    /// Whether pages of this scope can be asked for.
    pub is_served: &'a dyn Fn(&Scope) -> bool,
    /// Files that stay, whatever else is said of them.
    pub kept: &'a HashSet<Digest>,
    pub now: SystemTime,
    pub command: Gc,
}

impl Collection<'_> {
    pub(super) fn run(&self, out: &Reporter<Cleared>) -> Result<(), MaintenanceError> {
        self.store.watched(|| self.watched(out))
    }

    fn watched(&self, out: &Reporter<Cleared>) -> Result<(), MaintenanceError> {
        let mut sum = ClearedSummary {
            dry_run: self.command.dry_run,
            ..ClearedSummary::default()
        };
        let mut bodies = Bodies::new(self.store.every_blob()?);
        let wasteful = self.lines(&mut bodies, &mut sum, out)?;
        for blob in bodies.take_unreferenced(self.kept, self.now) {
            if self.take(&blob, &mut sum)? {
                sum.unreferenced.add(blob.bytes);
                let sha256 = blob.digest.to_string();
                out.tell(Cleared::Unreferenced {
                    sha256,
                    bytes: blob.bytes,
                })?;
            }
        }
        let kept_bytes = bodies.take_kept(self.kept);
        for blob in self.store.blobs.over_budget(bodies.blobs, kept_bytes) {
            if self.take(&blob, &mut sum)? {
                sum.over_budget.add(blob.bytes);
                let sha256 = blob.digest.to_string();
                out.tell(Cleared::OverBudget {
                    sha256,
                    bytes: blob.bytes,
                })?;
            }
        }
        let until = self
            .now
            .checked_sub(QUARANTINE_KEPT)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        sum.quarantine = amount(self.store.clear_quarantine(until, self.command.dry_run)?);
        self.shorten(&wasteful, &mut sum, out)?;
        Ok(out.tell(Cleared::Summary(sum))?)
    }

    /// Forgets lines that are needed no more, and marks the bodies that the others name; gives the
    /// files of the index that can be shortened then.
    fn lines(
        &self,
        bodies: &mut Bodies,
        sum: &mut ClearedSummary,
        out: &Reporter<Cleared>,
    ) -> Result<Vec<IndexFile>, MaintenanceError> {
        let mut wasteful = Vec::new();
        self.store.every_line::<MaintenanceError>(|mut file| {
            let mut is_wasteful = file.is_wasteful();
            for line in std::mem::take(&mut file.lines) {
                let is_served = match &line.subject {
                    IndexSubject::File { file, .. } => (self.is_served)(&file.scope),
                    IndexSubject::Page { page, .. } | IndexSubject::Withdrawn { page, .. } => {
                        (self.is_served)(&page.scope)
                    }
                    IndexSubject::Metadata { .. } | IndexSubject::Unknown => true,
                };
                let body = bodies.place(line.digest);
                let is_held = body.is_some();
                let Some(why) = why_needless(&line, is_held, is_served, self.kept, self.now) else {
                    bodies.refer_to(body);
                    continue;
                };
                if !self.command.dry_run {
                    self.store.forget(&line)?;
                    is_wasteful = true;
                }
                sum.lines += 1;
                out.tell(Cleared::Line {
                    name: line.name().to_owned(),
                    why: why.to_owned(),
                })?;
            }
            if is_wasteful {
                wasteful.push(file);
            }
            if out.is_wanted() {
                Ok(())
            } else {
                Err(Gone.into())
            }
        })?;
        Ok(wasteful)
    }

    /// Whether it is, or would be, gone.
    fn take(&self, blob: &StoredBlob, sum: &mut ClearedSummary) -> Result<bool, MaintenanceError> {
        if self.command.dry_run {
            return Ok(true);
        }
        if sum.skipped >= SKIPPED_MAX {
            sum.skipped += 1;
            return Ok(false);
        }
        Ok(match self.store.take_blob(blob)? {
            Removal::Removed(_) => true,
            Removal::Changed => false,
            Removal::Busy => {
                sum.skipped += 1;
                false
            }
        })
    }

    fn shorten(
        &self,
        wasteful: &[IndexFile],
        sum: &mut ClearedSummary,
        out: &Reporter<Cleared>,
    ) -> Result<(), MaintenanceError> {
        for file in wasteful {
            if !out.is_wanted() {
                return Err(Gone.into());
            }
            if self.command.dry_run {
                sum.index.add(file.wasted_bytes);
                continue;
            }
            match self.store.compact(file)? {
                Removal::Removed(bytes) => sum.index.add(bytes),
                Removal::Changed => {}
                Removal::Busy => sum.skipped += 1,
            }
        }
        Ok(())
    }
}

/// The bodies that are there, in as little memory as a million of them allow.
struct Bodies {
    /// In the order of their digests.
    blobs: Vec<StoredBlob>,
    /// Which of them a line names.
    referenced: Vec<bool>,
}

impl Bodies {
    fn new(mut blobs: Vec<StoredBlob>) -> Self {
        blobs.sort_unstable_by_key(|blob| blob.digest);
        Self {
            referenced: vec![false; blobs.len()],
            blobs,
        }
    }

    /// Where the body of this digest is, if it is there.
    fn place(&self, digest: Digest) -> Option<usize> {
        let found = self.blobs.binary_search_by_key(&digest, |blob| blob.digest);
        found.ok()
    }

    fn refer_to(&mut self, place: Option<usize>) {
        if let Some(place) = place {
            self.referenced[place] = true;
        }
    }

    /// Takes out those that no request will lead to again.
    fn take_unreferenced(&mut self, kept: &HashSet<Digest>, now: SystemTime) -> Vec<StoredBlob> {
        let mut taken = Vec::new();
        let mut referenced = std::mem::take(&mut self.referenced).into_iter();
        self.blobs.retain(|blob| {
            let is_named = referenced.next() == Some(true);
            let goes = is_unreferenced(blob, is_named, kept, now);
            if goes {
                taken.push(*blob);
            }
            !goes
        });
        taken
    }

    /// Takes out those that stay in any case; says how many bytes they are.
    fn take_kept(&mut self, kept: &HashSet<Digest>) -> u64 {
        let mut bytes = 0;
        self.blobs.retain(|blob| {
            let stays = kept.contains(&blob.digest);
            if stays {
                bytes += blob.bytes;
            }
            !stays
        });
        bytes
    }
}

/// Why a line is needed no more, if it is not.
fn why_needless(
    line: &IndexLine,
    is_held: bool,
    is_served: bool,
    kept: &HashSet<Digest>,
    now: SystemTime,
) -> Option<&'static str> {
    let is_old = now
        .duration_since(line.written)
        .is_ok_and(|age| age >= LINE_KEPT);
    let gone = (!is_held && is_old).then_some("its bytes are gone for long");
    match &line.subject {
        _ if kept.contains(&line.digest) => None,
        // What a bundle brought needs no mirror to be configured.
        IndexSubject::Page { meta, .. } if !is_served && !is_portable(&meta.url) => {
            Some("its mirror is no longer configured")
        }
        // As long as there may be files that were found by it.
        IndexSubject::Withdrawn { .. } => {
            (!is_served).then_some("its mirror is no longer configured")
        }
        // What a mirror's path yielded once is what it must yield again, where its page does not
        // say (`unhashed_files`).
        IndexSubject::File { file, .. } if file.scope.is_mirror() && is_served => None,
        IndexSubject::File { .. } | IndexSubject::Page { .. } | IndexSubject::Metadata { .. } => {
            gone
        }
        IndexSubject::Unknown => None,
    }
}

/// Whether no request will lead to these bytes again.
fn is_unreferenced(
    blob: &StoredBlob,
    is_named: bool,
    kept: &HashSet<Digest>,
    now: SystemTime,
) -> bool {
    let is_old = now
        .duration_since(blob.written)
        .is_ok_and(|age| age >= YOUNG);
    is_old && !is_named && !kept.contains(&blob.digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_old_bytes_that_nobody_names_go(number in 0..8u8, named in 0..8u8, kept in 0..8u8, age in 0..8000u64) {
            let digest = |number: u8| Digest::of(&[number]);
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
            let written = now - Duration::from_secs(age);
            let blob = |number| StoredBlob { digest: digest(number), bytes: 1, used: written, written };
            let mut bodies = Bodies::new((0..=number).map(blob).collect());
            for place in [bodies.place(digest(named)), bodies.place(digest(100))] {
                bodies.refer_to(place);
            }
            let mut taken = bodies.take_unreferenced(&HashSet::from([digest(kept)]), now);
            taken.sort_unstable();
            let goes = |number: &u8| *number != named && *number != kept && age >= 3600;
            let mut expected: Vec<_> = (0..=number).filter(goes).map(blob).collect();
            expected.sort_unstable();
            prop_assert_eq!(taken.len() + bodies.blobs.len(), usize::from(number) + 1);
            prop_assert_eq!(taken, expected);
        }
    }
}
