//! Which of many records affects a version first, without asking each.
//!
//! Some projects have hundreds of records, and their pages thousands of files. The bounds of all
//! ranges cut the versions into slots: each bound, and what lies between two of them. Pure. Must not
//! know what a record says of its versions but by [`Affected`].

use std::collections::HashMap;

use foldhash::fast::RandomState;
use pep440_rs::Version;

use super::affected::{Affected, RangeEnd, VersionRange};
use super::release::Release;

/// With fewer records each is asked.
pub(super) const RECORDS_MIN: usize = 8;

/// The first record of each version, by its number.
#[derive(Debug)]
pub(super) struct VersionIndex {
    /// Of versions that are listed by name.
    listed: HashMap<Box<str>, u32, RandomState>,
    /// Sorted.
    bounds: Box<[Version]>,
    /// Before the first bound, at it, behind it, and so on: `2 × bounds + 1`.
    slots: Box<[u32]>,
}

/// No record.
const NONE: u32 = u32::MAX;

impl VersionIndex {
    /// None where a bound has a local label: then a version is compared with each bound in another
    /// way, and each record has to be asked.
    pub fn of<'a>(records: impl Iterator<Item = &'a Affected> + Clone) -> Option<Self> {
        let mut bounds = Vec::new();
        for record in records.clone() {
            for range in record.ranges() {
                bounds.extend(range.bounds().cloned());
            }
        }
        if bounds.iter().any(Version::is_local) {
            return None;
        }
        bounds.sort_unstable();
        bounds.dedup();
        let mut index = Self {
            listed: HashMap::default(),
            slots: vec![NONE; 2 * bounds.len() + 1].into(),
            bounds: bounds.into(),
        };
        for (number, record) in (0..).zip(records) {
            for version in record.versions() {
                index.listed.entry(version.into()).or_insert(number);
            }
            for range in record.ranges() {
                index.fill(range, number);
            }
        }
        Some(index)
    }

    fn fill(&mut self, range: &VersionRange, number: u32) {
        let first = match &range.from {
            Some(from) => self.slot(from),
            None => 0,
        };
        let end = match &range.to {
            RangeEnd::Open => self.slots.len(),
            RangeEnd::Before(end) => self.slot(end),
            RangeEnd::Through(end) => self.slot(end) + 1,
        };
        for slot in self.slots.get_mut(first..end).unwrap_or_default() {
            *slot = number.min(*slot);
        }
    }

    fn slot(&self, version: &Version) -> usize {
        match self.bounds.binary_search(version) {
            Ok(at) => 2 * at + 1,
            Err(before) => 2 * before,
        }
    }

    /// The number of the first record that affects a release; none if it is no version of PEP 440,
    /// which only records of everything affect.
    pub fn first(&self, release: &Release) -> Option<u32> {
        let mut first = NONE;
        for text in release.texts() {
            if let Some(number) = self.listed.get(text) {
                first = first.min(*number);
            }
        }
        if let Some(version) = release.public() {
            let slot = self.slots.get(self.slot(version));
            first = first.min(slot.copied().unwrap_or(NONE));
        }
        match first {
            NONE => None,
            number => Some(number),
        }
    }
}
