//! The families of what policies keep back, of the records that they go by, and of what indexes say
//! of their projects.
//!
//! Must not compute, nor look anything up.

use std::fmt;

use prometheus_client::registry::Unit;

use super::families::{Families, Labels};
use crate::admin::readings::Readings;
use crate::index::PageCountsReading;
use crate::store::AdvisoryReading;

pub(super) fn advisories(
    reading: Option<&AdvisoryReading>,
    families: &mut Families<'_>,
) -> fmt::Result {
    let Some(reading) = reading else {
        return Ok(());
    };
    let counts = &reading.counts;
    families.gauges(
        ("advisories", "Records of advisories by what they are", None),
        [
            ("malware", counts.malware),
            ("vulnerability", counts.vulnerabilities),
            ("withdrawn", counts.withdrawn),
            ("other", counts.other),
            ("unreadable", counts.unreadable),
        ]
        .map(|(kind, count)| (vec![("kind", kind)], count as f64)),
    )?;
    families.gauge(
        "advisories_ignored_ranges",
        "Ranges of these records that say nothing of PyPI's versions",
        None,
        counts.ignored_ranges,
    )?;
    let Some(age) = reading.age else {
        return Ok(());
    };
    families.gauges(
        (
            "advisories_age",
            "Since the advisories in force were put there",
            Some(Unit::Seconds),
        ),
        [(Labels::new(), age.as_secs_f64())],
    )
}

pub(super) fn policies(all: &Readings, families: &mut Families<'_>) -> fmt::Result {
    let samples = |counts: &[(&'static str, u64)]| {
        let mut samples = Vec::new();
        for (policy, count) in counts {
            samples.push((vec![("policy", *policy)], *count));
        }
        samples
    };
    families.counters(
        (
            "policy_refusals",
            "Requests for files that a policy refused, by policy",
            None,
        ),
        samples(&all.policies.refused),
    )?;
    families.counters(
        (
            "policy_left_out_files",
            "Files that were left out of a page when it was made, by policy",
            None,
        ),
        samples(&all.policies.left_out),
    )?;
    families.counters(
        (
            "vulnerable_files",
            "Requests for files with a known vulnerability that were given, by severity",
            None,
        ),
        all.policies
            .vulnerable
            .iter()
            .map(|(severity, count)| (vec![("severity", *severity)], *count)),
    )
}

pub(super) fn pages(read: &PageCountsReading, families: &mut Families<'_>) -> fmt::Result {
    let samples = |label: &'static str, counts: &[(&'static str, u64)]| {
        let mut samples = Vec::new();
        for (word, count) in counts {
            samples.push((vec![(label, *word)], *count));
        }
        samples
    };
    families.counters(
        (
            "project_pages",
            "Projects' pages that came from upstream anew, by what it calls the project",
            None,
        ),
        samples("project_status", &read.came),
    )?;
    families.counters(
        (
            "project_status_changes",
            "Projects whose index called them otherwise than before, by the new word",
            None,
        ),
        samples("project_status", &read.statuses),
    )?;
    families.counters(
        (
            "page_file_changes",
            "Files that upstream's pages no longer have as before, by how",
            None,
        ),
        samples("change", &read.files),
    )
}
