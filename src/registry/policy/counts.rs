//! What policies kept from clients, for as long as the process lives.

use std::sync::atomic::{AtomicU64, Ordering};

use super::PolicyReason;

/// By the label of the reason.
#[derive(Debug, Default)]
pub struct PolicyCounts {
    /// Requests for files.
    refused: [AtomicU64; PolicyReason::LABELS.len()],
    /// Files that were left out of a page when it was made.
    left_out: [AtomicU64; PolicyReason::LABELS.len()],
}

impl PolicyCounts {
    pub fn refuse(&self, label: &str) {
        add(&self.refused, label, 1);
    }

    pub fn leave_out(&self, label: &str, files: u64) {
        add(&self.left_out, label, files);
    }

    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        read(&self.refused)
    }

    pub fn left_out(&self) -> Vec<(&'static str, u64)> {
        read(&self.left_out)
    }
}

fn add(counts: &[AtomicU64], label: &str, more: u64) {
    let known = PolicyReason::LABELS
        .iter()
        .position(|known| *known == label);
    if let Some(count) = known.and_then(|at| counts.get(at)) {
        count.fetch_add(more, Ordering::Relaxed);
    }
}

fn read(counts: &[AtomicU64]) -> Vec<(&'static str, u64)> {
    let mut all = Vec::new();
    for (label, count) in PolicyReason::LABELS.into_iter().zip(counts) {
        all.push((label, count.load(Ordering::Relaxed)));
    }
    all
}
