//! How the shared store was used, as numbers.
//!
//! Owns the labels: closed sets. Must not know who shows them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the shared store came to for one download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupEnd {
    /// All bytes came from it, and were right.
    Hit,
    Miss,
    /// It broke off or was too slow, and the rest came from upstream.
    Broken,
    /// What it holds is not what it should be.
    Wrong,
    /// It gave no answer, or a refusal.
    Failed,
    /// It was not asked: it is left alone, or busy.
    Skipped,
    /// It began to send it, and the rest was not wanted, or could not be kept.
    Unused,
}

impl LookupEnd {
    const ALL: [Self; 7] = [
        Self::Hit,
        Self::Miss,
        Self::Broken,
        Self::Wrong,
        Self::Failed,
        Self::Skipped,
        Self::Unused,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Broken => "broken",
            Self::Wrong => "wrong",
            Self::Failed => "error",
            Self::Skipped => "skipped",
            Self::Unused => "unused",
        }
    }
}

/// What became of one file that was to be uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadEnd {
    Completed,
    /// Another larder had uploaded it.
    Present,
    /// It could not be, and is not tried any more.
    Lost,
    /// The queue was full.
    Dropped,
}

impl UploadEnd {
    const ALL: [Self; 4] = [Self::Completed, Self::Present, Self::Lost, Self::Dropped];

    fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Present => "present",
            Self::Lost => "lost",
            Self::Dropped => "dropped",
        }
    }
}

/// Outlives the services of one configuration.
#[derive(Debug, Default)]
pub struct SharedStoreCounts {
    lookups: [AtomicU64; LookupEnd::ALL.len()],
    uploads: [AtomicU64; UploadEnd::ALL.len()],
    uploaded_bytes: AtomicU64,
}

impl SharedStoreCounts {
    pub fn looked_up(&self, how: LookupEnd) {
        for (known, count) in LookupEnd::ALL.iter().zip(&self.lookups) {
            if *known == how {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn upload_ended(&self, how: UploadEnd) {
        for (known, count) in UploadEnd::ALL.iter().zip(&self.uploads) {
            if *known == how {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn uploaded(&self, bytes: u64) {
        self.uploaded_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Each label, and how often it was so.
    pub fn lookups(&self) -> Vec<(&'static str, u64)> {
        let counted = LookupEnd::ALL.iter().zip(&self.lookups);
        counted
            .map(|(how, count)| (how.label(), count.load(Ordering::Relaxed)))
            .collect()
    }

    pub fn uploads(&self) -> Vec<(&'static str, u64)> {
        let counted = UploadEnd::ALL.iter().zip(&self.uploads);
        counted
            .map(|(how, count)| (how.label(), count.load(Ordering::Relaxed)))
            .collect()
    }

    pub fn uploaded_bytes(&self) -> u64 {
        self.uploaded_bytes.load(Ordering::Relaxed)
    }
}
