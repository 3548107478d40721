//! What the status page tells of upload dates, of the policies that use them, and of what indexes
//! say of their projects.
//!
//! Pure. Packages have no names here: an exception may be about a private one. Must not know HTML.

use serde::Serialize;

use super::words::{counted, grouped, time};
use crate::index::{DatesReading, PageCountsReading};
use crate::registry::policy::PolicyReading;
use crate::store::AdvisoryReading;

/// What is known of the files of GitLab's pages beside them.
#[derive(Debug, Serialize)]
pub(super) struct UploadDatesReport {
    /// Files whose date GitLab told since the start.
    pub told: u64,
    /// Files of which it told none.
    pub untold: u64,
    /// Pages that wait for their files' dates.
    pub queue: u64,
    pub sentence: String,
}

impl UploadDatesReport {
    pub(super) fn of(read: DatesReading) -> Self {
        let mut sentence = format!(
            "GitLab told {} since the start",
            counted(read.told, "upload date", "upload dates")
        );
        if read.untold > 0 {
            sentence += &format!(", and none of {}", counted(read.untold, "file", "files"));
        }
        if read.queue > 0 {
            sentence += &format!(
                "; {} for theirs",
                counted(read.queue, "page waits", "pages wait")
            );
        }
        Self {
            told: read.told,
            untold: read.untold,
            queue: read.queue,
            sentence,
        }
    }
}

/// What upstream's pages said and changed since the start.
#[derive(Debug, Serialize)]
pub(super) struct ProjectsReport {
    /// Pages that came anew, by what their index calls the project, active ones left out.
    pub pages: Vec<LabelledCount>,
    /// Changes of that, by the new word.
    pub status_changes: Vec<LabelledCount>,
    /// Files that are no longer as they were.
    pub file_changes: Vec<LabelledCount>,
    /// Empty where there is nothing to tell.
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct LabelledCount {
    /// As in the metrics.
    pub label: &'static str,
    pub count: u64,
}

impl ProjectsReport {
    pub(super) fn of(read: &PageCountsReading) -> Self {
        let mut pages = counts(&read.came);
        pages.retain(|count| count.label != "active");
        let status_changes = counts(&read.statuses);
        let file_changes = counts(&read.files);
        let mut sentences = Vec::new();
        if !pages.is_empty() {
            sentences.push(format!("pages of projects that are {}", listed(&pages)));
        }
        if !status_changes.is_empty() {
            sentences.push(format!("became {}", listed(&status_changes)));
        }
        if !file_changes.is_empty() {
            sentences.push(format!("files {}", listed(&file_changes)));
        }
        Self {
            pages,
            status_changes,
            file_changes,
            sentence: sentences.join("; "),
        }
    }
}

/// Those that are not zero.
fn counts(read: &[(&'static str, u64)]) -> Vec<LabelledCount> {
    let mut told = Vec::new();
    for (label, count) in read {
        if *count > 0 {
            told.push(LabelledCount {
                label,
                count: *count,
            });
        }
    }
    told
}

fn listed(counts: &[LabelledCount]) -> String {
    let mut words = Vec::new();
    for count in counts {
        words.push(format!("{}: {}", count.label, grouped(count.count)));
    }
    words.join(", ")
}

/// What files are judged by.
#[derive(Debug, Serialize)]
pub(super) struct PoliciesReport {
    pub min_age: Vec<MinAgeReport>,
    pub exceptions: ExceptionsReport,
    /// The records of advisories, if any are configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advisories: Option<AdvisoriesReport>,
    /// Since the start, by policy.
    pub kept_back: Vec<KeptBackReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct MinAgeReport {
    /// `gitlab`, or a mirror's name.
    pub source: String,
    pub min_age_seconds: u64,
    /// What becomes of files without a date.
    pub undated: &'static str,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ExceptionsReport {
    pub in_force: usize,
    /// Those that are over and void, by their place in the configuration, from 1.
    pub over: Vec<usize>,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct AdvisoriesReport {
    pub malware: u64,
    pub vulnerabilities: u64,
    /// Since the newest of their files was put there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    pub sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct KeptBackReport {
    /// The policy's word, as in the metrics.
    pub policy: &'static str,
    /// Requests for files.
    pub refused: u64,
    /// Files, each time a page was made without them.
    pub left_out: u64,
    pub sentence: String,
}

impl PoliciesReport {
    pub(super) fn of(read: &PolicyReading, advisories: Option<&AdvisoryReading>) -> Self {
        let mut min_age = Vec::new();
        for age in &read.ages {
            let source = &age.source;
            let span = time(age.min_age);
            let undated = age.undated;
            min_age.push(MinAgeReport {
                sentence: format!(
                    "Files of {source} are given once they are {span} old; without a date: {undated}"
                ),
                source: source.clone(),
                min_age_seconds: age.min_age.as_secs(),
                undated,
            });
        }
        let mut kept_back = Vec::new();
        for ((policy, refused), (_, left_out)) in read.refused.iter().zip(&read.left_out) {
            if refused + left_out == 0 {
                continue;
            }
            kept_back.push(KeptBackReport {
                policy,
                refused: *refused,
                left_out: *left_out,
                sentence: format!(
                    "{policy}: {} refused, {} left out of pages",
                    counted(*refused, "request", "requests"),
                    counted(*left_out, "file", "files")
                ),
            });
        }
        Self {
            min_age,
            exceptions: ExceptionsReport::of(read),
            advisories: advisories.map(AdvisoriesReport::of),
            kept_back,
        }
    }
}

impl AdvisoriesReport {
    fn of(read: &AdvisoryReading) -> Self {
        let counts = read.counts;
        let mut sentence = format!(
            "{} of malware, {} of vulnerabilities",
            counted(counts.malware, "record", "records"),
            grouped(counts.vulnerabilities)
        );
        match read.age {
            Some(age) => sentence += &format!(", {} old", time(age)),
            None => "none could be read".clone_into(&mut sentence),
        }
        if read.is_closed {
            sentence += ": no page and no file is given until they are renewed";
        }
        Self {
            malware: counts.malware,
            vulnerabilities: counts.vulnerabilities,
            age_seconds: read.age.map(|age| age.as_secs()),
            sentence,
        }
    }
}

impl ExceptionsReport {
    fn of(read: &PolicyReading) -> Self {
        let holding = counted(read.in_force as u64, "exception holds", "exceptions hold");
        let mut sentence = holding;
        if !read.over.is_empty() {
            let mut numbers = Vec::new();
            for number in &read.over {
                numbers.push(grouped(*number as u64));
            }
            sentence += &format!(
                "; over and void, by place in the configuration: {}",
                numbers.join(", ")
            );
        }
        Self {
            in_force: read.in_force,
            over: read.over.clone(),
            sentence,
        }
    }
}
