//! A page as it leaves, and what it says of its files.
//!
//! Owns the bytes to send, which gain PEP 658 metadata as wheels become known: the places where it
//! may be added are kept with the page ([`crate::simple::annotate`]), so that neither upstream nor
//! the disk is asked for it again. Must not know who gets it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::access::ListedFiles;
use crate::index::cache::representation::Representations;
use crate::index::error::PageError;
use crate::index::rewrite::collected::Collected;
use crate::index::rewrite::likely_wheels::likeliest;
use crate::index::rewrite::mirror_files::{MirrorFile, MirrorFiles};
use crate::registry::policy::Policies;
use crate::registry::{FileRef, MirrorPath, Scope};
use crate::simple::{Format, ProjectStatus, annotate};
use crate::store::{MetadataIndex, WheelMark};
use crate::upstream::Validators;
use crate::values::correlation;

/// Scopes that one page's links may name; GitLab's pages name one.
const SCOPES_MAX: usize = 8;

/// A page looks for new metadata of its wheels at most this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So long an answer waits for it, which a page of some hundred files never needs; a longer look
/// goes on behind.
const LOOK_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Page {
    format: Format,
    /// The format that upstream sent it in.
    source: Format,
    /// Without the metadata that larder adds.
    body: Bytes,
    marks: Box<[(u64, WheelMark)]>,
    shown: Mutex<AnnotatedPage>,
    looking: AtomicBool,
    listings: Vec<(Scope, Arc<ListedFiles>)>,
    mirrored: Arc<MirrorFiles>,
    /// Files of GitLab's whose upload date was not known when it was made.
    undated: Arc<[FileRef]>,
    /// The scope that GitLab's links to its files write.
    written: Option<Scope>,
    /// The mark of what was known of its files then.
    dates_known: u64,
    /// When a file may be listed that a policy leaves out.
    ripens: Option<SystemTime>,
    /// When a file is not to be listed any more.
    lapses: Option<SystemTime>,
    /// What the policies were at when it was made.
    policies: u64,
    has_links_past: bool,
    /// Wheels whose metadata is read before a client asks for it, once.
    prefetch: Mutex<Vec<FileRef>>,
    is_prefetch_taken: AtomicBool,
    validators: Validators,
}

/// What is sent, and the state of knowledge it was made from.
#[derive(Debug)]
struct AnnotatedPage {
    forms: Arc<Representations>,
    generation: u64,
    looked: Instant,
}

/// A rewritten page, before it is prepared.
pub struct RewrittenPage {
    pub format: Format,
    /// The format that upstream sent it in.
    pub source: Format,
    pub body: Bytes,
    /// Where metadata may be added: one for each of `collected.marked`.
    pub marks: Vec<u64>,
    pub collected: Collected,
    /// What it says of the project as a whole.
    pub status: Option<ProjectStatus>,
    /// The mark of what was known of its files besides, and of what it told itself.
    pub dates_known: u64,
    pub validators: Validators,
}

impl Page {
    /// Adds what is known and compresses: run it on a blocking thread.
    pub fn prepare(
        rewritten: RewrittenPage,
        metadata_index: &MetadataIndex,
        prefetch_max: usize,
        now: Instant,
    ) -> Result<Self, PageError> {
        let RewrittenPage {
            format,
            source,
            body,
            marks,
            collected,
            status,
            dates_known,
            validators,
        } = rewritten;
        if marks.len() != collected.marked.len() {
            return Err(PageError::Internal);
        }
        let marks: Box<[_]> = marks.into_iter().zip(collected.marked).collect();
        let generation = metadata_index.generation();
        let forms = Representations::prepare(annotated(format, &body, &marks, metadata_index))?;
        Ok(Self {
            format,
            source,
            body,
            marks,
            shown: Mutex::new(AnnotatedPage {
                forms: Arc::new(forms),
                generation,
                looked: now,
            }),
            looking: AtomicBool::new(false),
            listings: listings(&collected.files),
            mirrored: Arc::new(MirrorFiles::new(collected.mirrored, status)),
            undated: each_once(collected.undated).into(),
            written: collected.written,
            dates_known,
            ripens: collected.ripens,
            lapses: collected.lapses,
            policies: collected.generation,
            has_links_past: collected.past > 0,
            prefetch: Mutex::new(likeliest(collected.wheels, prefetch_max)),
            is_prefetch_taken: AtomicBool::new(false),
            validators,
        })
    }

    /// The bytes to send.
    pub fn forms(&self) -> Arc<Representations> {
        Arc::clone(&self.shown.lock().forms)
    }

    /// Whether nothing has become known of any wheel since it was last looked for.
    pub fn knows_all(&self, metadata_index: &MetadataIndex) -> bool {
        self.marks.is_empty() || self.shown.lock().generation == metadata_index.generation()
    }

    /// Looks whether metadata of its wheels has become known since it was last looked for. Returns
    /// when that is done, or after `LOOK_WAIT`: a resolver gets what is known now, and need not
    /// ask twice.
    pub async fn annotate_again(
        self: &Arc<Self>,
        metadata_index: &Arc<MetadataIndex>,
        now: Instant,
    ) {
        let looked = self.shown.lock().looked;
        let due = now.saturating_duration_since(looked) >= LOOK_EVERY;
        if !due || self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        let metadata_index = Arc::clone(metadata_index);
        let look = correlation::spawn_blocking(move || {
            let generation = metadata_index.generation();
            let body = annotated(this.format, &this.body, &this.marks, &metadata_index);
            let known = this.forms();
            let forms = if known.is_of(&body) {
                Ok(known)
            } else {
                Representations::prepare(body).map(Arc::new)
            };
            if let Ok(forms) = forms {
                *this.shown.lock() = AnnotatedPage {
                    forms,
                    generation,
                    looked: now,
                };
            }
            this.looking.store(false, Ordering::Release);
        });
        // However it ends, there is a page to send.
        let _ = timeout(LOOK_WAIT, look).await;
    }

    /// The wheels without metadata that are most likely wanted, for the first caller that is given
    /// the page.
    pub fn take_prefetch(&self) -> Option<Vec<FileRef>> {
        if self.is_prefetch_taken.load(Ordering::Relaxed) {
            return None;
        }
        self.is_prefetch_taken.store(true, Ordering::Relaxed);
        Some(std::mem::take(&mut *self.prefetch.lock()))
    }

    /// The files the page lists, by the scope their links name.
    pub fn listings(&self) -> &[(Scope, Arc<ListedFiles>)] {
        &self.listings
    }

    /// The mirrors' files that this page lists.
    pub fn mirror_files(&self) -> &Arc<MirrorFiles> {
        &self.mirrored
    }

    /// What it says of the project as a whole (PEP 792).
    pub fn status(&self) -> Option<&ProjectStatus> {
        self.mirrored.status().map(Arc::as_ref)
    }

    /// What this page of a mirror says about one path.
    pub fn mirrored(&self, path: &MirrorPath) -> Option<MirrorFile> {
        self.mirrored.find(path)
    }

    /// Files of GitLab's whose upload date was not known when it was made.
    pub fn undated(&self) -> &Arc<[FileRef]> {
        &self.undated
    }

    /// The scope that GitLab's links to its files write, if it has any.
    pub fn written(&self) -> Option<&Scope> {
        self.written.as_ref()
    }

    /// Whether something else is known of its files now than when it was made. Where none of them
    /// `is_judged`, dates are only shown, and one that has its date keeps it.
    pub fn lacks_dates(&self, is_judged: bool, known_now: impl FnOnce() -> Option<u64>) -> bool {
        if self.undated.is_empty() && !is_judged {
            return false;
        }
        known_now().is_some_and(|mark| mark != self.dates_known)
    }

    /// Whether links of its files lead past larder.
    pub fn has_links_past(&self) -> bool {
        self.has_links_past
    }

    /// Whether a page of GitLab's lists only what is elsewhere: it forwards by it.
    pub fn is_forwarded(&self) -> bool {
        self.has_links_past && self.listings.is_empty()
    }

    /// Whether policies may judge a file otherwise than when the page was made, so that it must be
    /// made again.
    pub fn is_judged_otherwise(&self, policies: &Policies, now: impl Fn() -> SystemTime) -> bool {
        let has_ripened = self.ripens.is_some_and(|ripens| ripens <= now());
        has_ripened || self.may_show_refused(policies, now)
    }

    /// Whether it may list a file that policies refuse by now.
    pub fn may_show_refused(&self, policies: &Policies, now: impl Fn() -> SystemTime) -> bool {
        let has_lapsed = self.lapses.is_some_and(|lapses| lapses <= now());
        has_lapsed || self.policies != policies.generation()
    }

    /// The format that upstream sent it in.
    pub fn source(&self) -> Format {
        self.source
    }

    pub fn validators(&self) -> &Validators {
        &self.validators
    }

    /// Bytes this takes in memory, roughly.
    pub fn weight(&self) -> usize {
        let listings: usize = self
            .listings
            .iter()
            .map(|(_, listing)| listing.weight())
            .sum();
        let marks = size_of_val(&*self.marks) + size_of_val(&*self.undated);
        self.body.len() + self.forms().weight() + listings + marks + self.mirrored.weight() + 1024
    }
}

/// The page with the metadata that is known of its wheels.
fn annotated(
    format: Format,
    body: &Bytes,
    marks: &[(u64, WheelMark)],
    metadata_index: &MetadataIndex,
) -> Bytes {
    let known: Vec<_> = marks
        .iter()
        .filter_map(|(offset, wheel)| Some((*offset, metadata_index.find(*wheel)?)))
        .collect();
    if known.is_empty() {
        body.clone()
    } else {
        annotate(format, body, &known)
    }
}

/// A group may list a file of the same bytes twice.
fn each_once(mut files: Vec<FileRef>) -> Vec<FileRef> {
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert((file.digest, file.filename.clone())));
    files
}

fn listings(files: &[FileRef]) -> Vec<(Scope, Arc<ListedFiles>)> {
    let mut scopes: Vec<&Scope> = Vec::new();
    for file in files {
        if !scopes.contains(&&file.scope) && scopes.len() < SCOPES_MAX {
            scopes.push(&file.scope);
        }
    }
    let listing =
        |scope: &Scope| ListedFiles::new(files.iter().filter(|file| file.scope == *scope));
    scopes
        .into_iter()
        .map(|scope| (scope.clone(), Arc::new(listing(scope))))
        .collect()
}
