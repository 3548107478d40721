//! Records of the OSV schema as feeds publish them, and where a larder reads them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Larder;

/// A folder with a file of records, one on each line.
pub struct Records {
    home: TempDir,
}

impl Records {
    pub fn new(records: &[Value]) -> Self {
        let home = TempDir::with_prefix("larder-osv-").expect("a temporary folder");
        let made = Self { home };
        made.replace(records);
        made
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().join("records.jsonl")
    }

    /// As a feed is renewed: the whole file at once.
    pub fn replace(&self, records: &[Value]) {
        let mut text = String::new();
        for record in records {
            text.push_str(&record.to_string());
            text.push('\n');
        }
        self.put(&text);
    }

    pub fn put(&self, text: &str) {
        let new = self.home.path().join("new");
        std::fs::write(&new, text).expect("a writable folder");
        std::fs::rename(new, self.path()).expect("a writable folder");
    }

    /// As if they had been put there an hour ago.
    pub fn grow_old(&self) {
        let file = std::fs::File::options().append(true).open(self.path());
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let file = file.expect("the records");
        file.set_modified(hour_ago).expect("a file of ours");
    }

    /// The section of a larder that goes by these, with more lines of it.
    pub fn section(&self, more: &str) -> String {
        section(&self.path(), more)
    }
}

pub fn section(path: &Path, more: &str) -> String {
    format!("[policy]\nadvisories = {path:?}\n{more}\n")
}

/// Of these versions of a project.
pub fn record(id: &str, project: &str, versions: &[&str]) -> Value {
    json!({
        "schema_version": "1.7.0",
        "id": id,
        "modified": "2026-11-01T10:00:00Z",
        "published": "2026-11-01T09:00:00Z",
        "summary": format!("What is known of {project}"),
        "affected": [{
            "package": {"ecosystem": "PyPI", "name": project},
            "versions": versions,
        }],
    })
}

/// Of every version of a project.
pub fn of_all(id: &str, project: &str) -> Value {
    let mut record = record(id, project, &[]);
    let events = json!([{"introduced": "0"}]);
    record["affected"][0]["ranges"] = json!([{"type": "ECOSYSTEM", "events": events}]);
    record
}

/// The same with a severity, as a database writes it.
pub fn rated(mut record: Value, severity: &str) -> Value {
    record["database_specific"] = json!({"severity": severity});
    record
}

/// Waits until records with this count of malware are in force.
pub fn wait_for_malware(larder: &Larder, records: u64) {
    let wanted = f64::from(u32::try_from(records).expect("a small number"));
    crate::common::delivery::eventually("the records are in force", || {
        larder.metric("larder_advisories{kind=\"malware\"}") == Some(wanted)
    });
}
