//! What pages that came from upstream said of their projects, and what changed on them, for as long
//! as the process lives.
//!
//! Owns that a change counts once, although it comes with each format of its page. Must not find
//! changes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use crate::registry::PageRef;
use crate::simple::ProjectStatus;
use crate::values::digest::Digest;

/// Changes that are remembered to have been said.
const SAID_MAX: u64 = 4096;

/// A change that comes again after so long is another one.
const SAID_FOR: Duration = Duration::from_secs(24 * 3600);

/// How a file of a page is no longer what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FileLoss {
    Withdrawn,
    /// By another content under the same name.
    Replaced(Digest),
    /// It is yanked no more.
    Unyanked,
}

impl FileLoss {
    const LABELS: [&'static str; 3] = ["withdrawn", "replaced", "unyanked"];

    fn label(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::Replaced(_) => "replaced",
            Self::Unyanked => "unyanked",
        }
    }
}

#[derive(Debug)]
pub struct PageCounts {
    /// Projects' pages, by the status of the project.
    came: [AtomicU64; ProjectStatus::LABELS.len()],
    /// Changes of it, by what it became.
    statuses: [AtomicU64; ProjectStatus::LABELS.len()],
    files: [AtomicU64; FileLoss::LABELS.len()],
    /// What was last said of the status of a project.
    statuses_said: Cache<PageRef, String>,
    files_said: Cache<(PageRef, String, FileLoss), ()>,
}

/// The numbers of a moment, each by its label.
#[derive(Clone, Debug, Default)]
pub struct PageCountsReading {
    pub came: Vec<(&'static str, u64)>,
    pub statuses: Vec<(&'static str, u64)>,
    pub files: Vec<(&'static str, u64)>,
}

impl Default for PageCounts {
    fn default() -> Self {
        Self {
            came: Default::default(),
            statuses: Default::default(),
            files: Default::default(),
            statuses_said: Cache::new(SAID_MAX),
            files_said: Cache::builder()
                .max_capacity(SAID_MAX)
                .time_to_live(SAID_FOR)
                .build(),
        }
    }
}

impl PageCounts {
    pub(super) fn page(&self, status: Option<&ProjectStatus>) {
        add(
            &self.came,
            &ProjectStatus::LABELS,
            ProjectStatus::label(status),
        );
    }

    /// Whether this change is a new one, which is counted.
    pub(super) fn change_status(&self, page: &PageRef, status: Option<&ProjectStatus>) -> bool {
        let word = ProjectStatus::word_line(status);
        if self.statuses_said.get(page).as_ref() == Some(&word) {
            return false;
        }
        self.statuses_said.insert(page.clone(), word);
        let label = ProjectStatus::label(status);
        add(&self.statuses, &ProjectStatus::LABELS, label);
        true
    }

    /// Whether this change is a new one, which is counted.
    pub(super) fn lose_file(&self, page: &PageRef, filename: &str, loss: FileLoss) -> bool {
        let key = (page.clone(), filename.to_owned(), loss);
        let is_new = self.files_said.entry(key).or_insert(()).is_fresh();
        if is_new {
            add(&self.files, &FileLoss::LABELS, loss.label());
        }
        is_new
    }

    pub fn reading(&self) -> PageCountsReading {
        PageCountsReading {
            came: read(&self.came, &ProjectStatus::LABELS),
            statuses: read(&self.statuses, &ProjectStatus::LABELS),
            files: read(&self.files, &FileLoss::LABELS),
        }
    }
}

fn add(counts: &[AtomicU64], labels: &[&'static str], label: &str) {
    for (known, count) in labels.iter().zip(counts) {
        if *known == label {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn read(counts: &[AtomicU64], labels: &[&'static str]) -> Vec<(&'static str, u64)> {
    let mut all = Vec::new();
    for (label, count) in labels.iter().zip(counts) {
        all.push((*label, count.load(Ordering::Relaxed)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Scope;

    #[test]
    fn a_change_counts_once_until_there_is_another() {
        let counts = PageCounts::default();
        let page = PageRef::index(Scope::mirror("pypi").expect("a name"));
        let status = |word: &str| ProjectStatus {
            status: word.to_owned(),
            reason: None,
        };
        for (word, is_new) in [
            ("archived", true),
            ("archived", false),
            ("quarantined", true),
            ("archived", true),
        ] {
            let status = status(word);
            assert_eq!(counts.change_status(&page, Some(&status)), is_new, "{word}");
        }
        assert!(counts.change_status(&page, None));
        for (loss, is_new) in [
            (FileLoss::Withdrawn, true),
            (FileLoss::Withdrawn, false),
            (FileLoss::Replaced(Digest::of(b"1")), true),
            (FileLoss::Replaced(Digest::of(b"2")), true),
            (FileLoss::Replaced(Digest::of(b"2")), false),
        ] {
            assert_eq!(counts.lose_file(&page, "a", loss), is_new, "{loss:?}");
        }
        let read = counts.reading();
        assert_eq!(
            read.files,
            [("withdrawn", 1), ("replaced", 2), ("unyanked", 0)]
        );
        let told: Vec<u64> = read.statuses.iter().map(|(_, count)| *count).collect();
        assert_eq!(told, [1, 2, 0, 1, 0]);
    }
}
