//! A page on its way from upstream's bytes to ours.
//!
//! Owns the driving of the rewriter, and what is collected on the way. Must not know where the
//! bytes come from or go.

pub mod collected;
mod judging;
pub mod likely_wheels;
pub mod link_policy;
pub mod mirror_files;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use url::Url;

use self::collected::Collected;
use self::link_policy::{LinkPolicy, Listed};
use self::mirror_files::MirrorFiles;
use super::cache::page::RewrittenPage;
use super::error::PageError;
use crate::registry::PageRef;
use crate::simple::{Decision, Entry, Format, PageSubject, ProjectStatus, Rewriter};
use crate::store::PageDates;
use crate::upstream::Validators;

/// How a page is to be read and written.
#[derive(Clone)]
pub struct RewriteJob {
    pub page: PageRef,
    /// As upstream sent it.
    pub source: Format,
    /// As the client wants it.
    pub target: Format,
    /// Where upstream served it from: links are resolved against it.
    pub url: Url,
    pub links: LinkPolicy,
    /// What is known of its files besides; empty for a mirror's page.
    pub dates: Arc<PageDates>,
}

impl RewriteJob {
    /// Whether a project's JSON becomes HTML, which is known from its beginning only at the end.
    pub fn turns_into_html(&self) -> bool {
        self.source == Format::Json && self.target == Format::Html && self.page.name.is_some()
    }
}

pub struct Rewriting {
    target: Format,
    rewriter: Rewriter,
    output: BytesMut,
    page: PageRef,
    links: LinkPolicy,
    collected: Arc<Mutex<Collected>>,
    is_quarantined: bool,
}

impl Rewriting {
    pub fn new(job: RewriteJob) -> Self {
        Self::begin(job, None)
    }

    /// Rewrites a whole page. A quarantined project's files are left out.
    pub fn whole(
        job: &RewriteJob,
        body: &[u8],
        validators: &Validators,
    ) -> Result<RewrittenPage, PageError> {
        let mut rewriting = Self::new(job.clone());
        rewriting.write(body)?;
        rewriting.finish(job, body, validators)
    }

    /// `quarantine` is what the page is known to say of its project, if its files are to be left
    /// out for that.
    fn begin(job: RewriteJob, quarantine: Option<ProjectStatus>) -> Self {
        let collected = Arc::new(Mutex::new(Collected {
            generation: job.links.generation(),
            ..Collected::default()
        }));
        let seen = Arc::clone(&collected);
        let page = job.page.clone();
        let links = job.links.clone();
        let dates = Arc::clone(&job.dates);
        let subject = match &job.page.name {
            Some(name) => PageSubject::Project(name.clone()),
            None => PageSubject::Index,
        };
        let is_quarantined = quarantine.is_some();
        let decide = move |entry: &Entry<'_>| {
            let listed = Listed {
                page: &page,
                entry,
                dates: &dates,
                quarantine: quarantine.as_ref(),
            };
            let decision = links.decide(&listed, &mut seen.lock());
            dated(decision, entry, &dates)
        };
        Self {
            target: job.target,
            rewriter: Rewriter::new(job.source, job.target, subject, job.url, decide),
            output: BytesMut::new(),
            page: job.page,
            links: job.links,
            collected,
            is_quarantined,
        }
    }

    pub fn write(&mut self, chunk: &[u8]) -> Result<(), PageError> {
        self.rewriter.write(chunk).map_err(PageError::not_a_page)?;
        self.output.extend_from_slice(&self.rewriter.take_output());
        Ok(())
    }

    /// Rewritten bytes so far; they are no longer part of the page that [`Self::finish`] makes.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// From here on the page is streamed out, in memory that hardly grows with it.
    pub fn stream(&mut self) {
        let mut collected = self.collected.lock();
        *collected = Collected {
            passing: true,
            mirrored: std::mem::take(&mut collected.mirrored),
            new_hosts: std::mem::take(&mut collected.new_hosts),
            past: collected.past,
            refused: std::mem::take(&mut collected.refused),
            ..Collected::default()
        };
    }

    /// Hosts that the page has named so far, and that were not judged yet.
    pub fn new_hosts(&self) -> Vec<Url> {
        self.collected.lock().new_hosts.clone()
    }

    /// Whether a link so far leads past larder.
    pub fn has_links_past(&self) -> bool {
        self.collected.lock().past > 0
    }

    /// Ends a page that was streamed out: its last bytes, and the files of a mirror that it lists.
    pub fn finish_stream(self) -> Result<(Bytes, MirrorFiles), PageError> {
        let finished = self.rewriter.finish().map_err(PageError::not_a_page)?;
        self.links.warn_left_out(&self.page, &finished.left_out);
        let collected = std::mem::take(&mut *self.collected.lock());
        let mut output = self.output;
        output.extend_from_slice(&finished.rest);
        let files = MirrorFiles::new(collected.mirrored, finished.status);
        Ok((output.freeze(), files))
    }

    /// Judges the page whose `body` was written. Its status may come after its files, so that a
    /// page of a quarantined project is written anew.
    pub fn finish(
        self,
        job: &RewriteJob,
        body: &[u8],
        validators: &Validators,
    ) -> Result<RewrittenPage, PageError> {
        let finished = self.rewriter.finish().map_err(PageError::not_a_page)?;
        self.links.warn_left_out(&self.page, &finished.left_out);
        let mut collected = std::mem::take(&mut *self.collected.lock());
        if self.is_quarantined {
            // None of them is shown.
            collected.past = 0;
        } else if let Some(status) = &finished.status
            && status.is_quarantined()
        {
            let mut empty = Self::begin(job.clone(), Some(status.clone()));
            empty.write(body)?;
            return empty.finish(job, body, validators);
        }
        let mut output = self.output;
        output.extend_from_slice(&finished.rest);
        let mut dates = Arc::clone(&job.dates);
        for told in &collected.newly_dated {
            Arc::make_mut(&mut dates).add(told.clone());
        }
        Ok(RewrittenPage {
            format: self.target,
            source: job.source,
            body: output.freeze(),
            dates_known: dates.mark(),
            marks: finished.insertion_points,
            collected,
            status: finished.status,
            validators: validators.clone(),
        })
    }
}

/// The decision with what is known of a file besides.
fn dated(decision: Decision, entry: &Entry<'_>, dates: &PageDates) -> Decision {
    let Decision::Replace(mut new) = decision else {
        return decision;
    };
    if let Some(digest) = entry.sha256
        && let Some(facts) = dates.find(digest, &entry.name)
    {
        new.facts = facts;
    }
    Decision::Replace(new)
}
