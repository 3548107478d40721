//! A page on its way from upstream's bytes to ours.
//!
//! Owns the driving of the rewriter, and what is collected on the way. Must not know where the bytes come from or go.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use url::Url;

use super::error::PageError;
use super::links::{Collected, Links};
use super::mirror_files::MirrorFiles;
use super::page::Rewritten;
use crate::registry::PageRef;
use crate::simple::{Decision, Format, ProjectStatus, Rewriter, Subject};
use crate::upstream::Validators;

/// The word of PEP 792 for a project that must not be installed.
const QUARANTINED: &str = "quarantined";

/// How a page is to be written.
#[derive(Clone)]
pub(super) struct Order {
    pub page: PageRef,
    /// As the client wants it.
    pub target: Format,
    /// Where upstream served it from: links are resolved against it.
    pub url: Url,
    pub links: Links,
}

impl Order {
    /// The same, once it is known in which format upstream sent it.
    pub(super) fn job(self, source: Format) -> Job {
        Job {
            source,
            order: self,
        }
    }
}

/// How a page is to be read and written.
#[derive(Clone)]
pub(super) struct Job {
    pub source: Format,
    pub order: Order,
}

impl Job {
    /// Whether a project's JSON becomes HTML, which is known from its beginning only at the end.
    pub(super) fn turns_into_html(&self) -> bool {
        (self.source, self.order.target) == (Format::Json, Format::Html)
            && self.order.page.name.is_some()
    }
}

pub(super) struct Rewriting {
    target: Format,
    rewriter: Rewriter,
    output: BytesMut,
    page: PageRef,
    links: Links,
    /// `None` when nobody will ask for it.
    collected: Arc<Mutex<Option<Collected>>>,
}

impl Rewriting {
    pub(super) fn new(job: Job) -> Self {
        Self::begin(job, true)
    }

    /// Rewrites a whole page. A quarantined project's files are left out.
    pub(super) fn whole(
        job: &Job,
        body: &[u8],
        validators: &Validators,
    ) -> Result<Rewritten, PageError> {
        let mut rewriting = Self::new(job.clone());
        rewriting.write(body)?;
        rewriting.finish(job, body, validators)
    }

    fn begin(job: Job, offered: bool) -> Self {
        let Job {
            source,
            order:
                Order {
                    page,
                    target,
                    url,
                    links,
                },
        } = job;
        let collected = Arc::new(Mutex::new(Some(Collected::default())));
        let seen = Arc::clone(&collected);
        let (told, judge) = (page.clone(), links.clone());
        let subject = page.name.clone().map_or(Subject::Index, Subject::Project);
        let decide = move |entry: &crate::simple::Entry<'_>| {
            if !offered {
                return Decision::Drop;
            }
            judge.decide(&told, entry, seen.lock().as_mut())
        };
        let rewriter = Rewriter::new(source, target, subject, url, decide);
        Self {
            target,
            rewriter,
            output: BytesMut::new(),
            page,
            links,
            collected,
        }
    }

    pub(super) fn write(&mut self, chunk: &[u8]) -> Result<(), PageError> {
        self.rewriter.write(chunk).map_err(PageError::not_a_page)?;
        self.output.extend_from_slice(&self.rewriter.take_output());
        Ok(())
    }

    /// Rewritten bytes so far; they are no longer part of the page that [`Self::finish`] makes.
    pub(super) fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// From here on the page is streamed out, in memory that hardly grows with it.
    pub(super) fn stream(&mut self) {
        let mut collected = self.collected.lock();
        let mirrored = collected
            .take()
            .map(|collected| collected.mirrored)
            .unwrap_or_default();
        *collected = Some(Collected {
            passing: true,
            mirrored,
            ..Collected::default()
        });
    }

    /// Ends a page that was streamed out: its last bytes, and the files of a mirror that it lists.
    pub(super) fn finish_stream(self) -> Result<(Bytes, MirrorFiles), PageError> {
        let finished = self.rewriter.finish().map_err(PageError::not_a_page)?;
        self.links.tell_left_out(&self.page, &finished.left_out);
        let collected = self.collected.lock().take();
        let offered = collected.filter(|_| !is_quarantined(finished.status.as_ref()));
        let mut output = self.output;
        output.extend_from_slice(&finished.rest);
        let files = MirrorFiles::new(
            offered
                .map(|collected| collected.mirrored)
                .unwrap_or_default(),
        );
        Ok((output.freeze(), files))
    }

    /// Judges the page whose `body` was written. Its status may come after its files, so that a page of a quarantined
    /// project is written anew.
    pub(super) fn finish(
        self,
        job: &Job,
        body: &[u8],
        validators: &Validators,
    ) -> Result<Rewritten, PageError> {
        let finished = self.rewriter.finish().map_err(PageError::not_a_page)?;
        self.links.tell_left_out(&self.page, &finished.left_out);
        let collected = self.collected.lock().take();
        let collected = collected.unwrap_or_default();
        if is_quarantined(finished.status.as_ref())
            && !(collected.files.is_empty() && collected.mirrored.is_empty())
        {
            let mut empty = Self::begin(job.clone(), false);
            empty.write(body)?;
            return empty.finish(job, body, validators);
        }
        let mut output = self.output;
        output.extend_from_slice(&finished.rest);
        Ok(Rewritten {
            format: self.target,
            source: job.source,
            body: output.freeze(),
            marks: finished.marks,
            collected,
            validators: validators.clone(),
        })
    }
}

fn is_quarantined(status: Option<&ProjectStatus>) -> bool {
    status.is_some_and(|status| status.status == QUARANTINED)
}
