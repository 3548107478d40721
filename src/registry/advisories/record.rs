//! One record of the OSV schema, read as far as it matters here.
//!
//! Owns the schema's field names. Unknown fields are passed over, because the schema grows; a field
//! of another type than the schema's makes the record unreadable. Must not know other records.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::affected::{Affected, EvaluatedRange, Event};
use super::severity::Severity;
use crate::simple::ProjectName;

/// The largest record that is read. The largest that are published have some hundred KiB.
pub const RECORD_BYTES_MAX: usize = 8 << 20;

/// Longest id: it stands in logs, header fields and messages.
const ID_BYTES_MAX: usize = 128;

/// Aliases of one record that count.
const ALIASES_MAX: usize = 64;

/// Roughly what a record takes in memory, and what each package in it does, without its versions.
const RECORD_BYTES: usize = 256;
const PACKAGE_BYTES: usize = 128;

/// How ids of malware begin.
pub(super) const MALWARE: &str = "MAL-";

const ECOSYSTEM: &str = "PyPI";

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("it is larger than {RECORD_BYTES_MAX} bytes")]
    TooLarge,
    #[error("it is no record of the OSV schema: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("its id is empty, too long, or has other characters than letters, digits and -_.:")]
    Id,
}

/// What a record says.
pub(super) struct Record {
    pub id: String,
    pub modified: String,
    pub withdrawn: bool,
    pub aliases: Vec<String>,
    pub severity: Severity,
    /// By package, once for each that it names.
    pub packages: Vec<(ProjectName, Affected)>,
    pub ignored_ranges: u64,
}

impl Record {
    /// # Errors
    /// When it is no record of the schema.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge);
        }
        let written: Written = serde_json::from_slice(bytes)?;
        if !is_advisory_id(&written.id) {
            return Err(RecordError::Id);
        }
        let mut aliases = written.aliases.unwrap_or_default();
        aliases.retain(|alias| is_advisory_id(alias));
        aliases.truncate(ALIASES_MAX);
        let mut record = Self {
            id: written.id,
            modified: written.modified.unwrap_or_default(),
            withdrawn: written.withdrawn.is_some(),
            aliases,
            severity: Severity::of(written.severity.as_deref(), written.database_specific),
            packages: Vec::new(),
            ignored_ranges: 0,
        };
        for affected in written.affected.unwrap_or_default() {
            record.add(affected);
        }
        Ok(record)
    }

    fn add(&mut self, affected: WrittenAffected) {
        let Some(package) = affected.package else {
            return;
        };
        let ecosystem = package.ecosystem.split(':').next();
        if ecosystem != Some(ECOSYSTEM) {
            return;
        }
        let Ok(name) = ProjectName::parse(&package.name) else {
            return;
        };
        let mut ranges = Vec::new();
        for range in affected.ranges.unwrap_or_default() {
            let evaluated = match range.kind.as_str() {
                "ECOSYSTEM" => EvaluatedRange::of(&range.events.unwrap_or_default()).ok(),
                _ => None,
            };
            match evaluated {
                Some(evaluated) => ranges.push(evaluated),
                None => self.ignored_ranges += 1,
            }
        }
        let own = Severity::of(affected.severity.as_deref(), affected.database_specific);
        self.severity = self.severity.max(own);
        let versions = affected.versions.unwrap_or_default();
        self.packages.push((name, Affected::new(&versions, ranges)));
    }

    /// Bytes this takes in memory, roughly.
    pub fn weight(&self) -> usize {
        let mut bytes = RECORD_BYTES + self.aliases.len() * ID_BYTES_MAX;
        for (_, affected) in &self.packages {
            bytes += PACKAGE_BYTES + affected.weight();
        }
        bytes
    }

    /// The id of the malware that it is of, its own before an alias.
    pub fn malware_id(&self) -> Option<&str> {
        let mut ids = std::iter::once(&self.id).chain(&self.aliases);
        let id = ids.find(|id| id.starts_with(MALWARE))?;
        Some(id)
    }
}

/// Whether it is an id of a record: what can stand in a message, a path and a header field.
pub fn is_advisory_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    !text.is_empty() && text.len() <= ID_BYTES_MAX && text.bytes().all(fits)
}

#[derive(Deserialize)]
struct Written {
    id: String,
    modified: Option<String>,
    withdrawn: Option<String>,
    aliases: Option<Vec<String>>,
    severity: Option<Vec<WrittenSeverity>>,
    affected: Option<Vec<WrittenAffected>>,
    database_specific: Option<DatabaseSpecific>,
}

#[derive(Deserialize)]
struct WrittenSeverity {
    score: Option<String>,
}

#[derive(Deserialize)]
struct WrittenAffected {
    package: Option<WrittenPackage>,
    versions: Option<Vec<String>>,
    ranges: Option<Vec<WrittenRange>>,
    severity: Option<Vec<WrittenSeverity>>,
    database_specific: Option<DatabaseSpecific>,
}

#[derive(Deserialize)]
struct WrittenPackage {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct WrittenRange {
    #[serde(rename = "type")]
    kind: String,
    events: Option<Vec<Event>>,
}

/// Each database has its own.
#[derive(Deserialize)]
struct DatabaseSpecific {
    severity: Option<MaybeText>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MaybeText {
    Text(String),
    Other(IgnoredAny),
}

impl Severity {
    /// The highest that is stated in one place.
    fn of(vectors: Option<&[WrittenSeverity]>, database: Option<DatabaseSpecific>) -> Self {
        let mut highest = Self::Unrated;
        for vector in vectors.unwrap_or_default() {
            if let Some(score) = &vector.score {
                highest = highest.max(Self::of_vector(score));
            }
        }
        if let Some(DatabaseSpecific {
            severity: Some(MaybeText::Text(word)),
        }) = database
        {
            highest = highest.max(Self::of_word(&word));
        }
        highest
    }
}
