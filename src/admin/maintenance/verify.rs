//! `verify`: every body is hashed again, every line of the index read again.
//!
//! What is wrong is set aside, and what was said of it withdrawn, so that it is fetched again. Must
//! not judge what is needed.

use std::collections::{BTreeMap, HashMap};

use super::error::MaintenanceError;
use crate::control::{Reporter, Verified};
use crate::store::{IndexLine, IndexSubject, Rehashed, Store, StoredBlob};
use crate::values::digest::Digest;

/// Something is told at least every so many bytes, which is also how soon a break is noticed.
const TOLD_EVERY_BYTES: u64 = 16 << 20;

/// And every so many bodies.
const TOLD_EVERY_BODIES: u64 = 256;

/// Addresses told of one damaged body.
const ADDRESSES_MAX: usize = 16;

struct Count {
    bodies: u64,
    of_bodies: u64,
    bytes: u64,
    of_bytes: u64,
    told_bytes: u64,
    faults: u64,
}

impl Count {
    fn progress(&mut self, out: &Reporter<Verified>) -> Result<(), MaintenanceError> {
        self.told_bytes = self.bytes;
        Ok(out.tell(Verified::Progress {
            bodies: self.bodies,
            of_bodies: self.of_bodies,
            bytes: self.bytes,
            of_bytes: self.of_bytes,
        })?)
    }
}

pub(super) fn run(store: &Store, out: &Reporter<Verified>) -> Result<(), MaintenanceError> {
    let blobs = store.every_blob()?;
    let mut count = Count {
        bodies: 0,
        of_bodies: blobs.len() as u64,
        bytes: 0,
        of_bytes: blobs.iter().map(|blob| blob.bytes).sum(),
        told_bytes: 0,
        faults: 0,
    };
    let mut damaged: BTreeMap<Digest, Wrong> = BTreeMap::new();
    let mut sizes = HashMap::with_capacity(blobs.len());
    count.progress(out)?;
    for blob in blobs {
        let wrong = match rehash(store, &blob, &mut count, out)? {
            Rehashed::Right => {
                sizes.insert(blob.digest, blob.bytes);
                None
            }
            Rehashed::Quarantined => Some(Wrong {
                bytes: blob.bytes,
                ..Wrong::default()
            }),
            Rehashed::Emptied => Some(Wrong {
                emptied: true,
                ..Wrong::default()
            }),
            Rehashed::Gone => None,
        };
        if let Some(wrong) = wrong {
            damaged.insert(blob.digest, wrong);
        }
        if count.bodies.is_multiple_of(TOLD_EVERY_BODIES) {
            count.progress(out)?;
        }
    }
    let lines = check_lines(store, &sizes, &mut damaged, &mut count, out)?;
    for (digest, wrong) in damaged {
        let sha256 = digest.to_string();
        let addresses = wrong.addresses;
        if wrong.emptied && !wrong.synced {
            out.tell(Verified::Emptied { sha256, addresses })?;
            continue;
        }
        count.faults += 1;
        out.tell(Verified::Damaged {
            sha256,
            bytes: wrong.bytes,
            addresses,
        })?;
    }
    count.progress(out)?;
    Ok(out.tell(Verified::Summary {
        bodies: count.bodies,
        bytes: count.bytes,
        lines,
        faults: count.faults,
    })?)
}

fn rehash(
    store: &Store,
    blob: &StoredBlob,
    count: &mut Count,
    out: &Reporter<Verified>,
) -> Result<Rehashed, MaintenanceError> {
    let rehashed = store.blobs.rehash(blob.digest, |bytes| {
        count.bytes += bytes;
        if count.bytes - count.told_bytes >= TOLD_EVERY_BYTES {
            count.progress(out)?;
        }
        // Clients come first: a thread that only computes gives way after each piece.
        std::thread::yield_now();
        Ok::<_, MaintenanceError>(())
    })?;
    count.bodies += 1;
    Ok(rehashed)
}

/// A body that is not what its digest says.
#[derive(Default)]
struct Wrong {
    bytes: u64,
    /// It had no bytes at all.
    emptied: bool,
    /// It was on the disk before anything referred to it, as files are and pages are not: that it
    /// is empty is damage.
    synced: bool,
    addresses: Vec<String>,
}

/// What the index says, held against what was found.
fn check_lines(
    store: &Store,
    sizes: &HashMap<Digest, u64>,
    damaged: &mut BTreeMap<Digest, Wrong>,
    count: &mut Count,
    out: &Reporter<Verified>,
) -> Result<u64, MaintenanceError> {
    let mut lines = 0;
    store.every_line::<MaintenanceError>(|file| {
        for line in &file.lines {
            lines += 1;
            if let Some(wrong) = damaged.get_mut(&line.digest) {
                if wrong.addresses.len() < ADDRESSES_MAX {
                    wrong.addresses.push(line.name().to_owned());
                }
                // A page's line would vouch for a page that is not there; a file's goes on telling
                // what it should be.
                if matches!(line.subject, IndexSubject::Page { .. }) {
                    store.forget(line)?;
                } else {
                    wrong.synced = true;
                }
            } else if is_misrecorded(line, sizes.get(&line.digest).copied()) {
                count.faults += 1;
                store.forget(line)?;
                let address = line.name().to_owned();
                let sha256 = line.digest.to_string();
                out.tell(Verified::Misrecorded { address, sha256 })?;
            }
        }
        if file.unreadable > 0 {
            count.faults += 1;
            store.compact(&file)?;
            out.tell(Verified::UnreadableLines {
                lines: file.unreadable as u64,
            })?;
        }
        Ok(())
    })?;
    Ok(lines)
}

/// Whether a file's line tells another length than its bytes have.
fn is_misrecorded(line: &IndexLine, bytes: Option<u64>) -> bool {
    match &line.subject {
        IndexSubject::File { entry, .. } => bytes.is_some_and(|bytes| bytes != entry.size),
        _ => false,
    }
}
