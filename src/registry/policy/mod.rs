//! Whether a file may be had, whoever asks and by whatever path: the one decision of all policies.
//!
//! Pure. What a page lists, and what a file's own address yields, are judged by the same
//! [`Policies::judge`] of the same facts, so that what is refused is refused on every path: on pages
//! of either format (`index/rewrite/link_policy.rs`), below a mirror (`index/locate.rs`), at GitLab's
//! addresses of files and their metadata (`Pages::judge`, which the walk asks before the file room),
//! and in `larder explain`. `warm`, exports and imports come by these paths.
//!
//! A page is made once and shown many times, so that a verdict says when it ends
//! ([`PolicyVerdict::ends`]); a page is made again then, of what is stored. What may change at any
//! time moves [`Policies::generation`], which every page notes when it is made.
//!
//! To add a policy:
//!
//! 1. What it needs to know of a file becomes a field of [`JudgedFile`], filled where these are
//!    made; what the operator says becomes a field of [`Policies`], filled in `app/settings.rs`; where
//!    it matters for a source at all, [`Policies::judge_any`] says so.
//! 2. Its judgement is a pure file beside `age.rs`, called in [`Policies::judge`]: the gravest
//!    first. What no exception may overrule, as its index's word of a quarantined project (PEP 792),
//!    comes before `Policies::exceptions`, the rest after it.
//! 3. Its refusal is a variant of [`PolicyReason`], with its label and its sentence.
//!
//! Statuses, logs, metrics and the status page follow from the reason. Must not know pages, callers,
//! or the clock.

mod age;
mod counts;
mod exception;
mod reading;
mod reason;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::age::{AgeRule, Undated};
pub use self::counts::PolicyCounts;
pub use self::exception::{ExceptionConfig, ExceptionError, PolicyException};
pub use self::reading::{AgeReading, PolicyReading};
pub use self::reason::{AgeSince, PolicyReason, PolicyRefusal};
use super::{AdvisoryRule, FeedState, KnownBad, Scope};
use crate::simple::{ProjectName, ProjectStatus, usual_project};

/// The facts of a file that policies judge it by.
#[derive(Clone, Copy, Debug)]
pub struct JudgedFile<'a> {
    /// Whose page lists it; a mirror's file is its mirror's, whichever page lists it.
    pub source: &'a Scope,
    /// Of the page that lists it; nothing where the file's own name has to tell.
    pub project: Option<&'a ProjectName>,
    pub filename: &'a str,
    /// By the word of its source.
    pub uploaded: Option<SystemTime>,
    /// When a page of larder's first listed it; noted where the source's `undated` asks for it.
    pub first_seen: Option<SystemTime>,
    /// What the page that lists it says of the project as a whole (PEP 792).
    pub status: Option<&'a ProjectStatus>,
}

impl JudgedFile<'_> {
    /// The same file where more may be known of it, and cannot be read now: without a date it counts
    /// as too young, whatever `undated` says.
    pub fn with_unreadable_facts(self) -> Self {
        // Nothing can be added to it, so that the file does not ripen by it.
        let end_of_time =
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX.unsigned_abs()));
        Self {
            uploaded: self.uploaded.or(end_of_time),
            ..self
        }
    }
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyVerdict {
    Allowed,
    /// A policy would refuse it, but for this.
    Excepted(Arc<PolicyException>),
    /// Left out of pages, and refused at its own address.
    Refused(PolicyReason),
}

impl PolicyVerdict {
    /// When the file may be judged otherwise, if nothing else changes.
    pub fn ends(&self) -> Option<SystemTime> {
        match self {
            Self::Allowed => None,
            Self::Excepted(exception) => Some(exception.end()),
            Self::Refused(reason) => reason.ends(),
        }
    }

    /// As an error for the one who asked.
    ///
    /// # Errors
    /// When it is refused.
    pub fn check(self, now: SystemTime) -> Result<(), PolicyRefusal> {
        match self {
            Self::Allowed | Self::Excepted(_) => Ok(()),
            Self::Refused(reason) => Err(PolicyRefusal { reason, now }),
        }
    }
}

/// Every policy of a configuration.
#[derive(Debug, Default)]
pub struct Policies {
    /// Of GitLab's own files.
    pub gitlab: AgeRule,
    pub mirrors: HashMap<Scope, AgeRule>,
    /// What is known of files, of whichever source.
    pub advisories: AdvisoryRule,
    pub exceptions: Vec<Arc<PolicyException>>,
}

impl Policies {
    /// How old a file of this source must be; nothing if its age does not matter.
    pub fn age(&self, source: &Scope) -> Option<&AgeRule> {
        let rule = if source.is_mirror() {
            self.mirrors.get(source)?
        } else {
            &self.gitlab
        };
        if rule.is_set() { Some(rule) } else { None }
    }

    /// Whether files without a date of this source are as old as they were first seen.
    pub fn counts_first_seen(&self, source: &Scope) -> bool {
        match self.age(source) {
            Some(rule) => rule.counts_first_seen(),
            None => false,
        }
    }

    /// Whether any file of this source can be refused, so that its facts have to be found.
    pub fn judge_any(&self, source: &Scope) -> bool {
        self.age(source).is_some() || self.advisories.feed.is_some()
    }

    /// What was judged before this moved has to be judged again.
    pub fn generation(&self) -> u64 {
        self.advisories.generation()
    }

    /// Why nothing at all may be had now, if that is so: nothing can be known of it.
    pub fn closed(&self, now: SystemTime) -> Option<FeedState> {
        self.advisories.feed.as_ref()?.closed(now)
    }

    /// Whether there can be a time when nothing at all may be had.
    pub fn may_close(&self) -> bool {
        self.advisories.feed.is_some()
    }

    pub fn judge(&self, file: &JudgedFile<'_>, now: SystemTime) -> PolicyVerdict {
        // Its index has taken the project back, which is no rule of the operator's: no exception
        // brings it back.
        if let Some(status) = file.status
            && status.is_quarantined()
        {
            return PolicyVerdict::Refused(PolicyReason::quarantined(status));
        }
        let exceptions = self.exceptions(file, now);
        if let Some(known) = self.known_bad_but_for(file, &exceptions) {
            return PolicyVerdict::Refused(PolicyReason::known(known));
        }
        let too_young = match self.age(file.source) {
            Some(rule) => rule.refuse(file.uploaded, file.first_seen, now),
            None => None,
        };
        // The first that ends: the file is judged again then.
        let Some(exception) = exceptions.iter().min_by_key(|exception| exception.end()) else {
            return match too_young {
                Some(reason) => PolicyVerdict::Refused(reason),
                None => PolicyVerdict::Allowed,
            };
        };
        if too_young.is_some() || self.known_bad_but_for(file, &[]).is_some() {
            return PolicyVerdict::Excepted(Arc::clone(exception));
        }
        PolicyVerdict::Allowed
    }

    /// The record by which a file may not be had, unless an exception overrules it.
    pub fn known_bad(&self, file: &JudgedFile<'_>, now: SystemTime) -> Option<KnownBad> {
        self.known_bad_but_for(file, &self.exceptions(file, now))
    }

    fn known_bad_but_for(
        &self,
        file: &JudgedFile<'_>,
        exceptions: &[&Arc<PolicyException>],
    ) -> Option<KnownBad> {
        let mut overruled = Vec::new();
        for exception in exceptions {
            for id in exception.advisories() {
                overruled.push(id.as_str());
            }
        }
        self.advisories
            .refusal(file.project, file.filename, &overruled)
    }

    /// What is to be said of a file that may be had all the same.
    pub fn notice(&self, file: &JudgedFile<'_>) -> Option<KnownBad> {
        self.advisories.notice(file.project, file.filename)
    }

    /// What holds for a file now.
    fn exceptions(&self, file: &JudgedFile<'_>, now: SystemTime) -> Vec<&Arc<PolicyException>> {
        let mut holding = Vec::new();
        if self.exceptions.is_empty() {
            return holding;
        }
        let usual = match file.project {
            Some(_) => None,
            None => usual_project(file.filename),
        };
        let Some(project) = file.project.or(usual.as_ref()) else {
            return holding;
        };
        for exception in &self.exceptions {
            if !exception.is_over(now) && exception.holds_for(project, file.filename) {
                holding.push(exception);
            }
        }
        holding
    }
}

#[cfg(test)]
mod tests;
