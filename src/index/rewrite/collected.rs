//! The files of one page, as they were met while it was rewritten.
//!
//! Must not know how a link is judged.

use std::collections::HashMap;
use std::time::SystemTime;

use url::Url;

use super::likely_wheels::LikelyWheel;
use super::mirror_files::Noted;
use crate::registry::policy::PolicyVerdict;
use crate::registry::{FileRef, Scope};
use crate::store::{DatedFile, SeenFile, WheelMark};
use crate::values::digest::Digest;

/// File hosts that one page may bring up.
const NEW_HOSTS_MAX: usize = 8;

/// The files of one page, as they were met.
#[derive(Debug, Default)]
pub struct Collected {
    /// The page passes by and is not kept: only what it says of a mirror's paths is.
    pub passing: bool,
    /// Those whose digest is known, under the addresses they are listed by.
    pub files: Vec<FileRef>,
    /// Those of GitLab's whose upload date is not known.
    pub undated: Vec<FileRef>,
    pub mirrored: Noted,
    /// The wheels that metadata may be added to, in the order of the marks.
    pub marked: Vec<WheelMark>,
    /// The same wheels, as they are listed.
    pub wheels: Vec<LikelyWheel>,
    /// Those of GitLab's that a policy leaves out.
    pub hidden: Vec<FileRef>,
    /// How many files policies leave out, by why.
    pub refused: HashMap<&'static str, u64>,
    /// When the first of them may be listed.
    pub ripens: Option<SystemTime>,
    /// When the first exception ends by which a file is listed.
    pub lapses: Option<SystemTime>,
    /// What the policies were at when they were asked.
    pub generation: u64,
    /// Files of GitLab's whose date its page tells, where they are looked up by their own address.
    pub newly_dated: Vec<DatedFile>,
    /// The scope that GitLab's links to its files write.
    pub written: Option<Scope>,
    /// Files without a date that no page listed before, where that counts.
    pub newly_seen: Vec<SeenFile>,
    /// Files without a date that the page lists, where that counts: sha256 and name.
    pub seen: Vec<(Digest, String)>,
    /// Hosts of files with a sha256 that were not judged yet.
    pub new_hosts: Vec<Url>,
    /// Files whose links lead past larder.
    pub past: usize,
}

impl Collected {
    pub(super) fn note_new_host(&mut self, link: &Url) {
        let is_known = |host: &Url| host.origin() == link.origin();
        if self.new_hosts.len() < NEW_HOSTS_MAX && !self.new_hosts.iter().any(is_known) {
            let origin = Url::parse(&link.origin().ascii_serialization());
            self.new_hosts.extend(origin);
        }
    }

    /// Those of GitLab's that the page lists, and those that a policy leaves out.
    pub fn all_of_gitlab(&self) -> Vec<FileRef> {
        [self.files.as_slice(), &self.hidden].concat()
    }

    /// Notes what policies said of a file, and gives whether it is left out.
    pub(super) fn leave_out(&mut self, verdict: &PolicyVerdict) -> bool {
        match verdict {
            PolicyVerdict::Allowed => false,
            PolicyVerdict::Excepted(exception) => {
                self.lapses = earlier(self.lapses, Some(exception.end()));
                false
            }
            PolicyVerdict::Refused(reason) => {
                self.ripens = earlier(self.ripens, reason.ends());
                *self.refused.entry(reason.label()).or_default() += 1;
                true
            }
        }
    }
}

fn earlier(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
