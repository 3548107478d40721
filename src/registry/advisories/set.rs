//! All records of one feed, by the name of the package.
//!
//! Owns what is kept of a record, and the order in which records of one package count. Must not know
//! where they were read, but that each has a place to be read again at.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foldhash::fast::RandomState;

use super::affected::Affected;
use super::record::{MALWARE, Record, RecordError};
use super::release::Release;
use super::severity::Severity;
use super::version_index::{RECORDS_MIN, VersionIndex};
use crate::simple::ProjectName;

/// One record, as far as it is about one package.
#[derive(Clone, Debug)]
pub struct Advisory {
    pub id: Arc<str>,
    pub kind: AdvisoryKind,
    pub severity: Severity,
    affected: Affected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdvisoryKind {
    /// By this id, if it is not the record's own.
    Malware {
        alias: Option<Box<str>>,
    },
    Vulnerability,
}

impl Advisory {
    pub fn is_malware(&self) -> bool {
        matches!(self.kind, AdvisoryKind::Malware { .. })
    }

    fn rank(&self) -> (bool, Severity) {
        (self.is_malware(), self.severity)
    }

    /// The id by which it is known to be what it is.
    pub fn telling_id(&self) -> &str {
        match &self.kind {
            AdvisoryKind::Malware { alias: Some(alias) } => alias,
            _ => &self.id,
        }
    }

    /// Whether its id, or the one by which it is known to be malware, is among these.
    fn is_among(&self, ids: &[&str]) -> bool {
        ids.contains(&&*self.id) || ids.contains(&self.telling_id())
    }

    /// Whether a release is affected; one that cannot be told by malware alone.
    pub fn affects(&self, release: Option<&Release>) -> bool {
        match release {
            Some(release) => self.affected.holds(release),
            None => self.is_malware(),
        }
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    pub malware: u64,
    pub vulnerabilities: u64,
    /// Names of packages.
    pub packages: u64,
    pub withdrawn: u64,
    /// Of other ecosystems alone, or of no release.
    pub other: u64,
    /// Ranges that are of no use for PyPI, or have a bound that is no version.
    pub ignored_ranges: u64,
    pub unreadable: u64,
}

impl RecordCounts {
    /// Records that were read, of whatever use.
    pub fn readable(&self) -> u64 {
        self.malware + self.vulnerabilities + self.withdrawn + self.other
    }
}

/// The records of one feed.
#[derive(Debug, Default)]
pub struct AdvisorySet {
    by_name: HashMap<ProjectName, Package, RandomState>,
    /// Sorted by id.
    places: Box<[Placed]>,
    pub counts: RecordCounts,
}

impl AdvisorySet {
    /// What is known of a package: malware first, then by severity.
    pub fn of(&self, name: &ProjectName) -> &[Advisory] {
        match self.by_name.get(name) {
            Some(package) => &package.advisories,
            None => &[],
        }
    }

    /// The gravest record that affects a release of a package, but for those that are overruled;
    /// `release` is made only if there are any, and says nothing of a file whose version cannot be
    /// told.
    pub fn gravest(
        &self,
        name: &ProjectName,
        overruled: &[&str],
        release: impl FnOnce() -> Option<Release>,
    ) -> Option<&Advisory> {
        let package = self.by_name.get(name)?;
        let release = release();
        if overruled.is_empty()
            && let (Some(index), Some(release)) = (&package.index, &release)
            && release.is_version()
        {
            return package.advisories.get(index.first(release)? as usize);
        }
        let mut all = package.advisories.iter();
        all.find(|advisory| !advisory.is_among(overruled) && advisory.affects(release.as_ref()))
    }

    /// The number of the place where a record was read.
    pub fn place(&self, id: &str) -> Option<u32> {
        Some(self.placed(id)?.place)
    }

    /// When a record was last modified, as it says.
    pub fn modified(&self, id: &str) -> Option<SystemTime> {
        match self.placed(id)?.modified {
            0 => None,
            seconds => Some(UNIX_EPOCH + Duration::from_secs(u64::from(seconds))),
        }
    }

    fn placed(&self, id: &str) -> Option<&Placed> {
        let found = self.places.binary_search_by(|placed| (*placed.id).cmp(id));
        self.places.get(found.ok()?)
    }

    /// The places of all records that count, in the order of their ids.
    pub fn all_places(&self) -> impl Iterator<Item = u32> {
        self.places.iter().map(|placed| placed.place)
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Bytes this takes in memory, roughly.
    pub fn weight(&self) -> usize {
        let mut bytes = self.places.len() * PLACE_BYTES;
        for package in self.by_name.values() {
            bytes += NAME_BYTES;
            for advisory in &package.advisories {
                bytes += size_of::<Advisory>() + advisory.affected.weight();
            }
        }
        bytes
    }
}

/// What is known of one package.
#[derive(Debug)]
struct Package {
    advisories: Box<[Advisory]>,
    /// Where there are many.
    index: Option<VersionIndex>,
}

/// Where a record was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    id: Arc<str>,
    place: u32,
    /// In seconds since 1970; 0 if it does not say.
    modified: u32,
}

/// Roughly what a name with its entry in the table takes, and an id with its place.
const NAME_BYTES: usize = 80;
const PLACE_BYTES: usize = 72;

/// Reads records into a set.
#[derive(Default)]
pub struct AdvisorySetBuilder {
    /// By id, with the number of their place.
    records: HashMap<String, (Record, u32), RandomState>,
    counts: RecordCounts,
    weight: usize,
}

impl AdvisorySetBuilder {
    /// Adds a record, read at this place.
    ///
    /// # Errors
    /// When it is none; it counts as unreadable, and nothing else is lost.
    pub fn add(&mut self, bytes: &[u8], place: u32) -> Result<(), RecordError> {
        let record = match Record::read(bytes) {
            Ok(record) => record,
            Err(why) => {
                self.counts.unreadable += 1;
                return Err(why);
            }
        };
        self.counts.ignored_ranges += record.ignored_ranges;
        if !record.withdrawn && record.packages.iter().all(|(_, all)| all.is_empty()) {
            self.counts.other += 1;
            return Ok(());
        }
        self.weight += record.weight();
        match self.records.get(&record.id) {
            Some((known, _)) if known.modified > record.modified => {}
            _ => drop(self.records.insert(record.id.clone(), (record, place))),
        }
        Ok(())
    }

    /// Bytes that all records take in memory which were added, roughly.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Counts one that could not even be read as bytes.
    pub fn note_unreadable(&mut self) {
        self.counts.unreadable += 1;
    }

    pub fn finish(mut self) -> AdvisorySet {
        let records = mem::take(&mut self.records);
        let rated: HashMap<&str, Severity, RandomState> = records
            .values()
            .map(|(record, _)| (record.id.as_str(), record.severity))
            .collect();
        let mut severities = Vec::with_capacity(records.len());
        for (record, _) in records.values() {
            severities.push(severity(record, &rated));
        }
        drop(rated);
        let mut by_name: HashMap<ProjectName, Vec<Advisory>, RandomState> = HashMap::default();
        let mut places = Vec::with_capacity(records.len());
        for ((record, place), severity) in records.into_values().zip(severities) {
            if record.withdrawn {
                self.counts.withdrawn += 1;
                continue;
            }
            let id: Arc<str> = record.id.as_str().into();
            places.push(Placed {
                id: Arc::clone(&id),
                place,
                modified: seconds(&record.modified),
            });
            let kind = kind(&record);
            match kind {
                AdvisoryKind::Malware { .. } => self.counts.malware += 1,
                AdvisoryKind::Vulnerability => self.counts.vulnerabilities += 1,
            }
            for (name, affected) in record.packages {
                by_name.entry(name).or_default().push(Advisory {
                    id: Arc::clone(&id),
                    kind: kind.clone(),
                    severity,
                    affected,
                });
            }
        }
        places.sort_unstable();
        self.counts.packages = by_name.len() as u64;
        AdvisorySet {
            by_name: by_name.into_iter().map(in_order).collect(),
            places: places.into(),
            counts: self.counts,
        }
    }
}

fn in_order((name, mut all): (ProjectName, Vec<Advisory>)) -> (ProjectName, Package) {
    all.sort_by(|one, other| {
        let by_rank = other.rank().cmp(&one.rank());
        by_rank.then(one.id.cmp(&other.id))
    });
    let mut index = None;
    if all.len() >= RECORDS_MIN {
        index = VersionIndex::of(all.iter().map(|advisory| &advisory.affected));
    }
    let advisories = all.into();
    (name, Package { advisories, index })
}

/// What the record states, else what its aliases' records state.
fn severity(record: &Record, rated: &HashMap<&str, Severity, RandomState>) -> Severity {
    let mut highest = record.severity;
    if highest == Severity::Unrated {
        for alias in &record.aliases {
            if let Some(severity) = rated.get(alias.as_str()) {
                highest = highest.max(*severity);
            }
        }
    }
    highest
}

/// A date of a record, in seconds since 1970; 0 if it is none.
fn seconds(date: &str) -> u32 {
    let Ok(time) = humantime::parse_rfc3339(date) else {
        return 0;
    };
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or_default()
}

fn kind(record: &Record) -> AdvisoryKind {
    match record.malware_id() {
        Some(_) if record.id.starts_with(MALWARE) => AdvisoryKind::Malware { alias: None },
        Some(alias) => AdvisoryKind::Malware {
            alias: Some(alias.into()),
        },
        None => AdvisoryKind::Vulnerability,
    }
}
