//! Which releases are known to be bad: records in the OSV schema, as values.
//!
//! The rule, as larder has it:
//!
//! * A record counts for the packages that it names with `package.ecosystem` `PyPI`, or
//!   `PyPI:` and a suffix, by names as PEP 503 normalises them. Packages of other ecosystems are
//!   counted and passed over, and so is a record that is `withdrawn`.
//! * It affects a release that is one of `affected[].versions`, or that lies in one of
//!   `affected[].ranges` of the type `ECOSYSTEM`, as the schema's evaluation has it: events are
//!   sorted, `introduced` begins to affect, `fixed` ends before and `last_affected` ends with its
//!   version, and nothing from the largest `limit` on is affected. `SEMVER` and `GIT` ranges are
//!   none of PyPI's: they are counted and passed over.
//! * Versions are equal and ordered by PEP 440. As with a specifier, the candidate's local label
//!   (`+cu118`) counts only where the record writes one: what is known of `1.0` is known of
//!   `1.0+cu118`.
//! * A record is of malware if its id or one of its aliases begins with `MAL-`, as those of the
//!   malicious-packages project do; any other record is of a vulnerability.
//! * A file whose version cannot be told from its name is affected by each record of malware of
//!   its project, and by no vulnerability.
//! * The severity is the highest that the record states, in a CVSS v3 or v4 vector or in
//!   `database_specific.severity`; else the highest of its aliases' records; else it is unrated,
//!   which is below every other.
//! * Of two records with one id the one that was modified later counts.
//!
//! uv, pip-audit and osv-scanner match by names, versions and ranges alike; they ask a service or
//! compare versions as texts, and none of them drops a local label, with which a rebuilt release of
//! a mirror would slip past. Pure. Must not know where records are kept, nor what becomes of a file.

mod affected;
mod config;
mod feed;
mod record;
mod release;
mod rule;
mod set;
mod severity;
#[cfg(test)]
mod tests;
mod version_index;

pub use config::{PolicyConfig, VulnerableRule};
pub use feed::{AdvisoryFeed, FeedState, StaleRule};
pub use record::{RECORD_BYTES_MAX, RecordError, is_advisory_id};
pub use release::Release;
pub use rule::{AdvisoryRule, KnownBad};
pub use set::{Advisory, AdvisoryKind, AdvisorySet, AdvisorySetBuilder, RecordCounts};
pub use severity::Severity;
