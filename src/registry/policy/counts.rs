//! What policies kept from clients, for as long as the process lives.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::PolicyReason;
use crate::registry::{KnownBad, Severity};

/// Vulnerable files that the log is told of, each once; more are only counted.
const SAID_MAX: usize = 1024;

/// By the label of the reason.
#[derive(Debug, Default)]
pub struct PolicyCounts {
    /// Requests for files.
    refused: [AtomicU64; PolicyReason::LABELS.len()],
    /// Files that were left out of a page when it was made.
    left_out: [AtomicU64; PolicyReason::LABELS.len()],
    /// Requests for files with a known vulnerability that were given, by severity.
    vulnerable: [AtomicU64; Severity::ALL.len()],
    /// Files and ids that the log has been told of.
    said: Mutex<HashSet<(String, Arc<str>)>>,
}

impl PolicyCounts {
    pub fn refuse(&self, label: &str) {
        add(&self.refused, label, 1);
    }

    pub fn leave_out(&self, label: &str, files: u64) {
        add(&self.left_out, label, files);
    }

    /// Counts a file that is given although it has a known vulnerability; gives whether that is to
    /// be said, which is so once for each file and id.
    pub fn give_vulnerable(&self, filename: &str, known: &KnownBad) -> bool {
        for (severity, count) in Severity::ALL.into_iter().zip(&self.vulnerable) {
            if known.severity == Some(severity) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut said = self.said.lock();
        let is_room = said.len() < SAID_MAX;
        is_room && said.insert((filename.to_owned(), Arc::clone(&known.id)))
    }

    pub fn vulnerable(&self) -> Vec<(&'static str, u64)> {
        let mut all = Vec::new();
        for (severity, count) in Severity::ALL.into_iter().zip(&self.vulnerable) {
            all.push((severity.word(), count.load(Ordering::Relaxed)));
        }
        all
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
