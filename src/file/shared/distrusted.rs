//! Blobs whose bytes in the shared store were wrong: not read again for a while, and written anew.
//!
//! Another larder of the fleet may have written them anew, which a larder that only reads is not
//! told: distrust of what is read has an age. That this larder is to write them anew has none.
//! It outlives the services of one configuration, and what is yet to be written a restart too, with
//! the notes of the queue. Must not know how they were found out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::values::clock;
use crate::values::digest::Digest;

/// Blobs that are remembered; more are a sign that the shared store is no good at all.
const DISTRUSTED_MAX: usize = 4096;

/// How long a blob is not read.
const DISTRUSTED_FOR: Duration = Duration::from_hours(1);

/// Each with the moment that it was found out.
#[derive(Default)]
pub struct Distrusted(Mutex<HashMap<Digest, Instant>>);

impl Distrusted {
    /// Whether a blob is not read.
    pub fn contains(&self, digest: Digest) -> bool {
        let now = clock::now();
        match self.0.lock().get(&digest) {
            Some(since) => now.saturating_duration_since(*since) < DISTRUSTED_FOR,
            None => false,
        }
    }

    /// Whether a blob is to be written anew, however long ago it was found out.
    pub fn is_wrong(&self, digest: Digest) -> bool {
        self.0.lock().contains_key(&digest)
    }

    /// An earlier process found it out.
    pub fn recall(&self, digest: Digest) {
        if !self.is_wrong(digest) {
            self.insert(digest);
        }
    }

    pub fn insert(&self, digest: Digest) {
        let mut known = self.0.lock();
        if known.len() >= DISTRUSTED_MAX {
            known.clear();
        }
        known.insert(digest, clock::now());
    }

    /// It was written anew.
    pub fn remove(&self, digest: Digest) {
        self.0.lock().remove(&digest);
    }
}
