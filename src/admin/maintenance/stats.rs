//! `stats`: counts by kind and scope.
//!
//! Must not change anything.

use std::collections::HashMap;

use super::census::{Census, seconds};
use super::error::MaintenanceError;
use crate::control::{Amount, Reporter, Totals};
use crate::file::Files;
use crate::store::{FileTotals, IndexSubject, Store};
use crate::values::clock;
use crate::values::digest::Digest;

/// What a body is, by what refers to it; of several the first of these counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    File,
    Page,
    Metadata,
}

pub(super) fn run(
    store: &Store,
    files: &Files,
    out: &Reporter<Totals>,
) -> Result<(), MaintenanceError> {
    let census = Census::take(store)?;
    let mut totals = Totals {
        budget_bytes: store.blobs.ledger().budget(),
        quarantine: amount(store.quarantined()?),
        spool: amount(store.under_way()?),
        ..Totals::default()
    };
    let mut kinds: HashMap<Digest, Kind> = HashMap::new();
    store.every_line::<MaintenanceError>(|file| {
        totals.index.add(file.bytes);
        totals.superseded_lines += file.superseded as u64;
        for line in &file.lines {
            let Some(blob) = census.blobs.get(&line.digest) else {
                continue;
            };
            let kind = match &line.subject {
                IndexSubject::File { file, .. } => {
                    totals
                        .scopes
                        .entry(file.scope.to_string())
                        .or_default()
                        .add(blob.bytes);
                    Kind::File
                }
                IndexSubject::Page { .. } => Kind::Page,
                IndexSubject::Withdrawn { .. } => continue,
                IndexSubject::Metadata { .. } | IndexSubject::Unknown => Kind::Metadata,
            };
            let known = kinds.entry(line.digest).or_insert(kind);
            *known = (*known).min(kind);
        }
        Ok(())
    })?;
    for blob in census.blobs.values() {
        let amount = match kinds.get(&blob.digest) {
            Some(Kind::File) => &mut totals.files,
            Some(Kind::Page) => &mut totals.pages,
            Some(Kind::Metadata) => &mut totals.metadata,
            None => &mut totals.unreferenced,
        };
        amount.add(blob.bytes);
        totals.stored_bytes += blob.bytes;
    }
    let used = || census.blobs.values().map(|blob| blob.used);
    totals.oldest_use = used().min().and_then(seconds);
    totals.newest_use = used().max().and_then(seconds);
    totals.awaited_parts = store.awaited.all(clock::wall());
    totals.shared_store_queue = store.upload_journal.noted()?;
    totals.writes_shared_store = files.writes_shared().is_ok();
    Ok(out.tell(totals)?)
}

pub(super) fn amount(beside: FileTotals) -> Amount {
    Amount {
        count: beside.count,
        bytes: beside.bytes,
    }
}
