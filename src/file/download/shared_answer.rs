//! A download whose bytes come from the shared store in place of upstream.
//!
//! Upstream decides about the caller all the same, asked as it is about a file that is here; only
//! then is a byte read. Must not know what a break or a wrong body is mended with.

use super::counts::DownloadEnd;
use super::{DownloadStart, DownloadTask};
use crate::access::Authorization;
use crate::file::authorize::ask;
use crate::file::request::AccessAnswer;
use crate::upstream::{AddressFact, UpstreamResponse, Validators};
use crate::values::clock;

/// What the shared store came to.
pub enum SharedAnswer {
    Body(Box<UpstreamResponse>),
    /// Upstream is to be asked for the bytes.
    Nothing,
    /// Upstream gave the caller nothing, and the waiting clients are told.
    Over,
}

impl DownloadTask {
    pub async fn ask_shared_store(&self) -> SharedAnswer {
        let Some(shared) = &self.downloads.shared else {
            return SharedAnswer::Nothing;
        };
        // What upstream gave already goes with the rest of it.
        if self.tail.is_some() || self.given.is_some() {
            return SharedAnswer::Nothing;
        }
        let Some(fact) = shared.fact(&self.file).await else {
            return SharedAnswer::Nothing;
        };
        if !self.may_read(&fact).await {
            return SharedAnswer::Over;
        }
        match shared.body(&self.file, &fact).await {
            Some(answer) => SharedAnswer::Body(Box::new(answer)),
            None => SharedAnswer::Nothing,
        }
    }

    /// Whether the caller in whose name this is may have the file.
    async fn may_read(&self, fact: &AddressFact) -> bool {
        let who = self.caller.fingerprint();
        let access = &self.downloads.access;
        if let Authorization::Proven(_) = access.file(who, &self.file, clock::now()) {
            return true;
        }
        let upstream = &self.downloads.upstream;
        let ranges = &self.downloads.ranges;
        let validators = Validators::of_text(fact.etag.as_deref(), fact.last_modified.as_deref());
        match ask(
            upstream,
            ranges,
            self.file.clone(),
            &self.caller,
            validators,
        )
        .await
        {
            AccessAnswer::Admitted { asked, .. } => {
                access.admit_file(who, &self.file, asked);
                true
            }
            AccessAnswer::Refused(answer) => {
                self.downloads.counts.ended(DownloadEnd::Rejected);
                self.end(DownloadStart::Refused(answer));
                false
            }
            AccessAnswer::Failed(why) => {
                self.downloads.counts.ended(DownloadEnd::Unanswered);
                self.end(DownloadStart::Failed(why.into()));
                false
            }
        }
    }
}
