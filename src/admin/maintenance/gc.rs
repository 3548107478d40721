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
use crate::control::{Cleared, ClearedSummary, Gc, Reporter};
use crate::registry::{Scope, is_portable};
use crate::store::{IndexLine, IndexSubject, Removal, Store, StoredBlob};
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
        let blobs = self.store.every_blob()?;
        let held: HashSet<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        let referenced = self.lines(&held, &mut sum, out)?;
        let (unreferenced, rest): (Vec<_>, Vec<_>) = blobs
            .into_iter()
            .partition(|blob| is_unreferenced(blob, &referenced, self.kept, self.now));
        for blob in unreferenced {
            if self.take(&blob, &mut sum)? {
                sum.unreferenced.add(blob.bytes);
                let sha256 = blob.digest.to_string();
                out.tell(Cleared::Unreferenced {
                    sha256,
                    bytes: blob.bytes,
                })?;
            }
        }
        let (kept, rest): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|blob| self.kept.contains(&blob.digest));
        let kept_bytes = kept.iter().map(|blob| blob.bytes).sum();
        for blob in self.store.blobs.over_budget(rest, kept_bytes) {
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
        self.shorten(&mut sum, out)?;
        Ok(out.tell(Cleared::Summary(sum))?)
    }

    /// Forgets lines that are needed no more; gives the digests that the others name.
    fn lines(
        &self,
        held: &HashSet<Digest>,
        sum: &mut ClearedSummary,
        out: &Reporter<Cleared>,
    ) -> Result<HashSet<Digest>, MaintenanceError> {
        let mut referenced = HashSet::new();
        self.store.every_line::<MaintenanceError>(|file| {
            for line in &file.lines {
                let is_served = match &line.subject {
                    IndexSubject::File { file, .. } => (self.is_served)(&file.scope),
                    IndexSubject::Page { page, .. } | IndexSubject::Withdrawn { page, .. } => {
                        (self.is_served)(&page.scope)
                    }
                    IndexSubject::Metadata { .. } | IndexSubject::Unknown => true,
                };
                let is_held = held.contains(&line.digest);
                let Some(why) = why_needless(line, is_held, is_served, self.kept, self.now) else {
                    referenced.insert(line.digest);
                    continue;
                };
                if !self.command.dry_run {
                    self.store.forget(line)?;
                }
                sum.lines += 1;
                out.tell(Cleared::Line {
                    name: line.name().to_owned(),
                    why: why.to_owned(),
                })?;
            }
            if out.is_wanted() {
                Ok(())
            } else {
                Err(crate::control::Gone.into())
            }
        })?;
        Ok(referenced)
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
        sum: &mut ClearedSummary,
        out: &Reporter<Cleared>,
    ) -> Result<(), MaintenanceError> {
        self.store.every_line(|file| {
            if !file.is_wasteful() {
                return Ok(());
            }
            if !out.is_wanted() {
                return Err(crate::control::Gone.into());
            }
            if self.command.dry_run {
                sum.index.add(file.wasted_bytes);
                return Ok(());
            }
            match self.store.compact(&file)? {
                Removal::Removed(bytes) => sum.index.add(bytes),
                Removal::Changed => {}
                Removal::Busy => sum.skipped += 1,
            }
            Ok(())
        })
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
    referenced: &HashSet<Digest>,
    kept: &HashSet<Digest>,
    now: SystemTime,
) -> bool {
    let is_old = now
        .duration_since(blob.written)
        .is_ok_and(|age| age >= YOUNG);
    is_old && !referenced.contains(&blob.digest) && !kept.contains(&blob.digest)
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
            let blob = StoredBlob { digest: digest(number), bytes: 1, used: written, written };
            let goes = is_unreferenced(&blob, &HashSet::from([digest(named)]), &HashSet::from([digest(kept)]), now);
            prop_assert_eq!(goes, number != named && number != kept && age >= 3600);
        }
    }
}
