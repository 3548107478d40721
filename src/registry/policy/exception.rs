//! `[[exceptions]]`: versions that may be had although a policy would refuse them, for a while.
//!
//! Pure. Owns the table and what it holds for. An exception ends by itself, so that none is
//! forgotten: one that is over is void, and is named where an operator looks. It lets a version pass
//! that is too young; of advisories it overrules those alone that it names, because a version that
//! could not wait may turn out to be malware. Must not know which policy would refuse.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use pep440_rs::{Version, VersionSpecifiers};
use serde::{Deserialize, Serialize};

use crate::registry::is_advisory_id;
use crate::simple::{ProjectName, file_version};

/// Longest value of a key, in bytes: exceptions are carried and kept.
const VALUE_BYTES_MAX: usize = 512;

/// Advisories that one exception may name.
const ADVISORIES_MAX: usize = 16;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// As it is written. What is not written is empty, and a fault of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExceptionConfig {
    /// A project's name.
    pub package: String,
    /// PEP 440 specifiers, such as `==2.6.1`.
    pub version: String,
    /// The last day on which it holds, or a time by RFC 3339.
    pub until: String,
    /// For those who read it later.
    pub reason: String,
    /// Ids of the records that it overrules as well, as the 403 names them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExceptionError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong(&'static str),
    #[error("package = \"{0}\" is no name of a project")]
    Package(String),
    #[error(
        "version = \"{0}\" is no PEP 440 version specifier: write \"==2.6.1\", or \">=2.6,<2.7\""
    )]
    Version(String),
    #[error("advisories = \"{0}\" is no id of a record: write \"GHSA-…\", as the 403 names it")]
    Advisory(String),
    #[error("advisories has more than {ADVISORIES_MAX} ids")]
    TooManyAdvisories,
    #[error(
        "until = \"{0}\" is neither a day such as \"2027-01-31\" nor a time such as \"2027-01-31T12:00:00Z\""
    )]
    Until(String),
}

/// Versions of a project that may be had until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyException {
    /// As it was written, for messages.
    pub written: ExceptionConfig,
    package: ProjectName,
    versions: VersionSpecifiers,
    end: SystemTime,
}

impl PolicyException {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(written: &ExceptionConfig) -> Result<Self, ExceptionError> {
        for (key, value) in [
            ("package", &written.package),
            ("version", &written.version),
            ("until", &written.until),
            ("reason", &written.reason),
        ] {
            if value.trim().is_empty() {
                return Err(ExceptionError::Missing(key));
            }
            if value.len() > VALUE_BYTES_MAX {
                return Err(ExceptionError::TooLong(key));
            }
        }
        if written.advisories.len() > ADVISORIES_MAX {
            return Err(ExceptionError::TooManyAdvisories);
        }
        for id in &written.advisories {
            if !is_advisory_id(id) {
                return Err(ExceptionError::Advisory(id.clone()));
            }
        }
        let package = ProjectName::parse(&written.package)
            .map_err(|_| ExceptionError::Package(written.package.clone()))?;
        let versions = VersionSpecifiers::from_str(&written.version)
            .map_err(|_| ExceptionError::Version(written.version.clone()))?;
        let end =
            end(&written.until).ok_or_else(|| ExceptionError::Until(written.until.clone()))?;
        Ok(Self {
            written: written.clone(),
            package,
            versions,
            end,
        })
    }

    /// Whose versions it is about.
    pub fn package(&self) -> &ProjectName {
        &self.package
    }

    /// The ids of the records that it overrules.
    pub fn advisories(&self) -> &[String] {
        &self.written.advisories
    }

    /// From then on it is void.
    pub fn end(&self) -> SystemTime {
        self.end
    }

    pub fn is_over(&self, now: SystemTime) -> bool {
        self.end <= now
    }

    /// Whether it is about this file of this project, whenever. A file whose version cannot be read
    /// is none.
    pub fn holds_for(&self, project: &ProjectName, filename: &str) -> bool {
        if *project != self.package {
            return false;
        }
        let Some(version) = file_version(filename, project) else {
            return false;
        };
        match Version::from_str(version) {
            Ok(version) => self.versions.contains(&version),
            Err(_) => false,
        }
    }
}

impl fmt::Display for PolicyException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExceptionConfig {
            package,
            version,
            until,
            reason,
            advisories,
        } = &self.written;
        write!(f, "{package} {version}")?;
        if !advisories.is_empty() {
            write!(f, " with {}", advisories.join(", "))?;
        }
        write!(f, " until {until} ({reason})")
    }
}

/// The end of the day, or the time.
fn end(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Some(time);
    }
    let midnight = humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).ok()?;
    midnight.checked_add(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: &str, until: &str) -> ExceptionConfig {
        ExceptionConfig {
            package: "Some_Lib".to_owned(),
            version: version.to_owned(),
            until: until.to_owned(),
            reason: "a fix that cannot wait".to_owned(),
            ..ExceptionConfig::default()
        }
    }

    #[test]
    fn it_is_about_versions_of_one_project() -> Result<(), Box<dyn std::error::Error>> {
        let exception = PolicyException::parse(&written("==2.6.1", "2027-01-31"))?;
        let project = ProjectName::parse("some-lib")?;
        for (filename, holds) in [
            ("some_lib-2.6.1-py3-none-any.whl", true),
            ("some-lib-2.6.1.tar.gz", true),
            ("Some.Lib-2.6.1.zip", true),
            ("some_lib-2.6.1.post1-py3-none-any.whl", false),
            ("some_lib-2.6.2-py3-none-any.whl", false),
            ("some_lib-v2.tar.gz", false),
            ("some_lib.tar.gz", false),
            ("other-2.6.1.tar.gz", false),
        ] {
            assert_eq!(exception.holds_for(&project, filename), holds, "{filename}");
        }
        let other = ProjectName::parse("other")?;
        assert!(!exception.holds_for(&other, "other-2.6.1.tar.gz"));
        let range = PolicyException::parse(&written(">=2.6,<2.7", "2027-01-31"))?;
        assert!(range.holds_for(&project, "some_lib-2.6.9.tar.gz"));
        assert!(!range.holds_for(&project, "some_lib-2.7.0.tar.gz"));
        Ok(())
    }

    #[test]
    fn it_holds_through_its_last_day() -> Result<(), Box<dyn std::error::Error>> {
        for (until, end) in [
            ("2027-01-31", "2027-02-01T00:00:00Z"),
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
        ] {
            let exception = PolicyException::parse(&written("==1", until))?;
            let end = humantime::parse_rfc3339(end)?;
            assert_eq!(exception.end(), end);
            assert!(exception.is_over(end) && !exception.is_over(end - Duration::from_secs(1)));
        }
        Ok(())
    }

    #[test]
    fn a_bad_one_says_what_is_wrong() {
        let mut nameless = written("==1", "2027-01-31");
        nameless.package = "no name!".to_owned();
        let mut reasonless = written("==1", "2027-01-31");
        reasonless.reason.clear();
        let mut wordy = written("==1", "2027-01-31");
        wordy.reason = "x".repeat(VALUE_BYTES_MAX + 1);
        let mut shapeless = written("==1", "2027-01-31");
        shapeless.advisories = vec!["GHSA 1".to_owned()];
        let mut broad = written("==1", "2027-01-31");
        broad.advisories = vec!["GHSA-1".to_owned(); ADVISORIES_MAX + 1];
        for (bad, words) in [
            (shapeless, "\"GHSA 1\" is no id of a record"),
            (broad, "more than 16 ids"),
            (wordy, "reason is longer than 512 bytes"),
            (nameless, "no name of a project"),
            (reasonless, "reason is missing"),
            (written("", "2027-01-31"), "version is missing"),
            (written("2.6.1", "2027-01-31"), "write \"==2.6.1\""),
            (written("latest", "2027-01-31"), "no PEP 440"),
            (written("==1", "soon"), "neither a day"),
            (written("==1", "2027-02-31"), "neither a day"),
            (written("==1", "31.1.2027"), "neither a day"),
        ] {
            let why = PolicyException::parse(&bad).err();
            let why = why.map(|why| why.to_string()).unwrap_or_default();
            assert!(why.contains(words), "{bad:?}: {why}");
        }
    }
}
