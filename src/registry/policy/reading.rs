//! What is told of the policies: which are set, and what they kept from clients.
//!
//! Without a name of a package, which may be private. Must not judge.

use std::time::{Duration, SystemTime};

use super::{AgeRule, Policies, PolicyCounts};

#[derive(Clone, Debug, Default)]
pub struct PolicyReading {
    /// GitLab's first, then those of mirrors by name.
    pub ages: Vec<AgeReading>,
    /// Exceptions that hold now.
    pub in_force: usize,
    /// Which exceptions are over, by their place in the configuration, from 1.
    pub over: Vec<usize>,
    /// Requests for files that were refused, by the label of the reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Files that were left out of pages, likewise.
    pub left_out: Vec<(&'static str, u64)>,
    /// Requests for files with a known vulnerability that were given, by severity.
    pub vulnerable: Vec<(&'static str, u64)>,
}

/// The minimum age of a source.
#[derive(Clone, Debug)]
pub struct AgeReading {
    /// `gitlab`, or a mirror's name.
    pub source: String,
    pub min_age: Duration,
    pub undated: &'static str,
}

impl PolicyReading {
    pub fn of(policies: &Policies, counts: &PolicyCounts, now: SystemTime) -> Self {
        let mut read = Self {
            refused: counts.refused(),
            left_out: counts.left_out(),
            vulnerable: counts.vulnerable(),
            ..Self::default()
        };
        for (source, rule) in &policies.mirrors {
            read.note(source.to_string(), rule);
        }
        read.ages
            .sort_by(|one, other| one.source.cmp(&other.source));
        let mirrors = std::mem::take(&mut read.ages);
        read.note("gitlab".to_owned(), &policies.gitlab);
        read.ages.extend(mirrors);
        for (number, exception) in policies.exceptions.iter().enumerate() {
            if exception.is_over(now) {
                read.over.push(number + 1);
            } else {
                read.in_force += 1;
            }
        }
        read
    }

    fn note(&mut self, source: String, rule: &AgeRule) {
        if rule.is_set() {
            self.ages.push(AgeReading {
                source,
                min_age: rule.min_age,
                undated: rule.undated.word(),
            });
        }
    }
}
