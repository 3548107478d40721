//! Which releases of a package one record affects.
//!
//! Owns the schema's evaluation of versions and ranges, with PEP 440 for its order. Must not know
//! what a record says of them.

use pep440_rs::Version;
use serde::Deserialize;

use super::release::{Release, canonical};

/// The releases that a record affects, kept small: most records name a few versions, or all.
#[derive(Clone, Debug, Default)]
pub struct Affected {
    /// In their canonical spelling, a line each.
    versions: Box<str>,
    ranges: Box<[VersionRange]>,
}

/// From `from` on, or from the first version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VersionRange {
    pub from: Option<Version>,
    pub to: RangeEnd,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RangeEnd {
    Open,
    Before(Version),
    Through(Version),
}

/// One event of a range; the schema has one field in each.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

/// In the order in which events at one version count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Introduced,
    Fixed,
    LastAffected,
}

/// A bound of a range is no version of PEP 440.
#[derive(Debug)]
pub(super) struct UnreadableBound;

impl Affected {
    /// Whether it affects this release.
    pub fn holds(&self, release: &Release) -> bool {
        self.versions.lines().any(|version| release.is(version))
            || self.ranges.iter().any(|range| range.holds(release))
    }

    /// Those that are listed, in their canonical spelling.
    pub(super) fn versions(&self) -> impl Iterator<Item = &str> {
        self.versions.lines()
    }

    pub(super) fn ranges(&self) -> &[VersionRange] {
        &self.ranges
    }

    /// Whether it names no release at all.
    pub(super) fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.ranges.is_empty()
    }

    pub(super) fn new(versions: &[String], ranges: Vec<EvaluatedRange>) -> Self {
        let mut spelled = Vec::with_capacity(versions.len());
        for version in versions {
            spelled.push(match version.trim().parse::<Version>() {
                Ok(version) => canonical(&version),
                Err(_) => version.trim().to_lowercase().replace(['\n', '\r'], " "),
            });
        }
        spelled.retain(|version| !version.is_empty());
        spelled.sort_unstable();
        spelled.dedup();
        let mut all = Vec::new();
        for range in ranges {
            all.extend(range.0);
        }
        Self {
            versions: spelled.join("\n").into(),
            ranges: all.into(),
        }
    }

    /// Bytes this takes in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        self.versions.len() + self.ranges.len() * RANGE_BYTES
    }
}

/// Roughly what one range takes in memory, with its versions.
const RANGE_BYTES: usize = size_of::<VersionRange>() + 64;

impl VersionRange {
    pub fn bounds(&self) -> impl Iterator<Item = &Version> {
        let end = match &self.to {
            RangeEnd::Open => None,
            RangeEnd::Before(end) | RangeEnd::Through(end) => Some(end),
        };
        self.from.iter().chain(end)
    }

    fn holds(&self, release: &Release) -> bool {
        // Where neither end has a version, any text is affected.
        if let Some(from) = &self.from {
            match release.beside(from) {
                Some(version) if version >= from => {}
                _ => return false,
            }
        }
        match &self.to {
            RangeEnd::Open => true,
            RangeEnd::Before(end) => release.beside(end).is_some_and(|version| version < end),
            RangeEnd::Through(end) => release.beside(end).is_some_and(|version| version <= end),
        }
    }
}

/// A range of the schema as the stretches of versions that it affects.
pub(super) struct EvaluatedRange(Vec<VersionRange>);

impl EvaluatedRange {
    pub(super) fn of(events: &[Event]) -> Result<Self, UnreadableBound> {
        let mut steps = Vec::new();
        let mut limits = Vec::new();
        for event in events {
            for (step, bound) in [
                (Step::Introduced, &event.introduced),
                (Step::Fixed, &event.fixed),
                (Step::LastAffected, &event.last_affected),
            ] {
                if let Some(bound) = bound {
                    steps.push((version(step, bound)?, step));
                }
            }
            match event.limit.as_deref() {
                None | Some("*") => {}
                Some(limit) => limits.push(read(limit)?),
            }
        }
        steps.sort();
        let mut stretches = stretches(steps);
        if let Some(limit) = limits.into_iter().max() {
            for range in &mut stretches {
                range.cut(&limit);
            }
        }
        Ok(Self(stretches))
    }
}

impl VersionRange {
    /// Nothing from this version on is affected.
    fn cut(&mut self, limit: &Version) {
        let is_before = match &self.to {
            RangeEnd::Open => false,
            RangeEnd::Before(end) => end <= limit,
            RangeEnd::Through(end) => end < limit,
        };
        if !is_before {
            self.to = RangeEnd::Before(limit.clone());
        }
    }
}

/// The version of an event; none is before all others. The schema's `0` is that one.
fn version(step: Step, bound: &str) -> Result<Option<Version>, UnreadableBound> {
    if step == Step::Introduced && bound == "0" {
        return Ok(None);
    }
    Ok(Some(read(bound)?))
}

fn read(bound: &str) -> Result<Version, UnreadableBound> {
    bound.trim().parse().map_err(|_| UnreadableBound)
}

/// What events affect, in their order.
fn stretches(steps: Vec<(Option<Version>, Step)>) -> Vec<VersionRange> {
    let mut found = Vec::new();
    let mut open: Option<Option<Version>> = None;
    for (bound, step) in steps {
        match (step, bound) {
            (Step::Introduced, bound) => {
                if open.is_none() {
                    open = Some(bound);
                }
            }
            (Step::Fixed, Some(bound)) => {
                if let Some(from) = open.take() {
                    let to = RangeEnd::Before(bound);
                    found.push(VersionRange { from, to });
                }
            }
            (Step::LastAffected, Some(bound)) => {
                if let Some(from) = open.take() {
                    let to = RangeEnd::Through(bound);
                    found.push(VersionRange { from, to });
                }
            }
            (Step::Fixed | Step::LastAffected, None) => {}
        }
    }
    if let Some(from) = open {
        let to = RangeEnd::Open;
        found.push(VersionRange { from, to });
    }
    found
}
