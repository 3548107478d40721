//! What follows from the records for one file.
//!
//! Must not know by what path it is asked for.

use std::sync::Arc;

use super::config::VulnerableRule;
use super::feed::AdvisoryFeed;
use super::release::Release;
use super::set::{Advisory, AdvisorySet};
use super::severity::Severity;
use crate::simple::{ProjectName, file_version, project_candidates, usual_project};

/// The records that count, and what they lead to.
#[derive(Clone, Debug, Default)]
pub struct AdvisoryRule {
    /// None if no records are configured.
    pub feed: Option<Arc<AdvisoryFeed>>,
    pub vulnerable: VulnerableRule,
    pub min_severity: Severity,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBad {
    /// By which it is known.
    pub id: Arc<str>,
    /// None: it is malware.
    pub severity: Option<Severity>,
}

/// Which records count.
#[derive(Clone, Copy)]
struct Least {
    /// None: of malware alone.
    severity: Option<Severity>,
}

impl Least {
    fn takes(self, advisory: &Advisory) -> bool {
        match self.severity {
            _ if advisory.is_malware() => true,
            Some(least) => advisory.severity >= least,
            None => false,
        }
    }
}

impl KnownBad {
    fn of(advisory: &Advisory) -> Self {
        let severity = if advisory.is_malware() {
            None
        } else {
            Some(advisory.severity)
        };
        Self {
            id: advisory.telling_id().into(),
            severity,
        }
    }
}

impl AdvisoryRule {
    /// Moves with each change of the records.
    pub fn generation(&self) -> u64 {
        match &self.feed {
            Some(feed) => feed.generation(),
            None => 0,
        }
    }

    /// Why a file is refused: it is malware, or vulnerable enough. `project` is its page's; where
    /// that is not known, each reading of its name counts, because an address has nothing else.
    /// Records of the `overruled` ids count for nothing.
    pub fn refusal(
        &self,
        project: Option<&ProjectName>,
        filename: &str,
        overruled: &[&str],
    ) -> Option<KnownBad> {
        let severity = match self.vulnerable {
            VulnerableRule::Log => None,
            VulnerableRule::Refuse => Some(self.min_severity),
        };
        self.known(project, filename, overruled, Least { severity })
    }

    /// What is to be said of a file that is given all the same.
    pub fn notice(&self, project: Option<&ProjectName>, filename: &str) -> Option<KnownBad> {
        let severity = Some(self.min_severity);
        self.known(project, filename, &[], Least { severity })
    }

    fn known(
        &self,
        project: Option<&ProjectName>,
        filename: &str,
        overruled: &[&str],
        least: Least,
    ) -> Option<KnownBad> {
        let set = self.feed.as_ref()?.set()?;
        if let Some(name) = project {
            return Some(KnownBad::of(first_hit(
                &set, name, filename, overruled, least,
            )?));
        }
        let usual = usual_project(filename);
        for name in project_candidates(filename) {
            // An unusual reading counts only if what it leaves is a version.
            let is_meant = usual.as_ref() == Some(&name) || has_version(filename, &name);
            if is_meant && let Some(advisory) = first_hit(&set, &name, filename, overruled, least) {
                return Some(KnownBad::of(advisory));
            }
        }
        None
    }
}

fn first_hit<'s>(
    set: &'s AdvisorySet,
    name: &ProjectName,
    filename: &str,
    overruled: &[&str],
    least: Least,
) -> Option<&'s Advisory> {
    // The first of them is the gravest; nearly every project has none.
    if !least.takes(set.of(name).first()?) {
        return None;
    }
    let release = || file_version(filename, name).map(Release::parse);
    let advisory = set.gravest(name, overruled, release)?;
    if least.takes(advisory) {
        return Some(advisory);
    }
    None
}

fn has_version(filename: &str, name: &ProjectName) -> bool {
    match file_version(filename, name) {
        Some(version) => Release::parse(version).is_version(),
        None => false,
    }
}
