//! What policies are told of an entry of a page, and what is noted of it for later.
//!
//! Must not know where a link leads.

use super::collected::Collected;
use super::link_policy::{LinkPolicy, Listed};
use crate::registry::policy::JudgedFile;
use crate::registry::{FileRef, Scope};
use crate::simple::FileFacts;
use crate::store::{DatedFile, SeenFile};
use crate::values::clock;

impl LinkPolicy {
    /// What policies judge an entry by. One without a date is noted as seen if it was not before,
    /// where that counts.
    pub(super) fn judged<'a>(
        &self,
        listed: &Listed<'a>,
        source: &'a Scope,
        filename: &'a str,
        collected: &mut Collected,
    ) -> JudgedFile<'a> {
        let Listed {
            page,
            entry,
            dates,
            quarantine,
        } = *listed;
        let mut uploaded = entry.upload_time;
        let mut first_seen = None;
        if let Some(digest) = entry.sha256 {
            let known = dates.find(digest, &entry.name);
            // The later one counts, as at the file's own address.
            uploaded = uploaded.max(known.and_then(|facts| facts.upload_time));
            if uploaded.is_none() && self.policies.counts_first_seen(source) {
                first_seen = dates.first_seen(digest, &entry.name);
                if !collected.passing {
                    let name = entry.name.clone().into_owned();
                    collected.seen.push((digest, name));
                }
                if first_seen.is_none() {
                    let seen = SeenFile {
                        digest,
                        filename: entry.name.clone().into_owned(),
                        first_seen: clock::wall(),
                    };
                    first_seen = Some(seen.first_seen);
                    if !collected.passing {
                        collected.newly_seen.push(seen);
                    }
                }
            }
        }
        JudgedFile {
            source,
            project: page.name.as_ref(),
            filename,
            uploaded,
            first_seen,
            status: quarantine,
        }
    }

    pub(super) fn is_refused(
        &self,
        listed: &Listed<'_>,
        judged: &JudgedFile<'_>,
        collected: &mut Collected,
    ) -> bool {
        let mut judged = *judged;
        if listed.dates.is_unreadable() && !judged.source.is_mirror() {
            judged = judged.with_unreadable_facts();
        }
        let verdict = self.policies.judge(&judged, clock::wall());
        collected.leave_out(&verdict)
    }

    /// Notes a date that GitLab's page tells itself, as a parent's does, if it is later than what is
    /// known: at the file's own address it is not at hand.
    pub(super) fn note_date(&self, listed: &Listed<'_>, file: &FileRef, collected: &mut Collected) {
        let Some(told) = listed.entry.upload_time else {
            return;
        };
        let filename = file.filename.as_str();
        let known = listed.dates.find(file.digest, filename);
        let known = known.and_then(|facts| facts.upload_time);
        if known >= Some(told) || !self.policies.judge_any(&file.scope) {
            return;
        }
        collected.newly_dated.push(DatedFile {
            digest: file.digest,
            filename: filename.to_owned(),
            facts: FileFacts {
                size: listed.entry.size,
                upload_time: Some(told),
            },
        });
    }
}
