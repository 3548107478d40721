//! Blobs whose bytes in the shared store were wrong: not read again, and written anew.
//!
//! Must not know how they were found out.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::values::digest::Digest;

/// Blobs that are remembered; more are a sign that the shared store is no good at all.
const DISTRUSTED_MAX: usize = 4096;

#[derive(Default)]
pub struct Distrusted(Mutex<HashSet<Digest>>);

impl Distrusted {
    pub fn contains(&self, digest: Digest) -> bool {
        self.0.lock().contains(&digest)
    }

    pub fn insert(&self, digest: Digest) {
        let mut known = self.0.lock();
        if known.len() >= DISTRUSTED_MAX {
            known.clear();
        }
        known.insert(digest);
    }

    /// It was written anew.
    pub fn remove(&self, digest: Digest) {
        self.0.lock().remove(&digest);
    }
}
