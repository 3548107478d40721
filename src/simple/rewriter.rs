//! One page on its way through larder: in the format it came in, or in the other one.
//!
//! Owns the pairing of a reader with the way out. In kind, the reader's own bytes pass with the decided
//! changes; otherwise it is only read, and a renderer writes the page anew. Must not know why an entry
//! becomes what it becomes.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use url::Url;

use super::entry::{Decision, Entry, LeftOut, Passage, Subject, Visit};
use super::facts::{PageFacts, ProjectStatus};
use super::format::Format;
use super::html::{HtmlError, HtmlReader};
use super::json::{JsonError, JsonReader};
use super::render::{Line, Renderer};
use super::shape::NotAnIndex;

/// Why a page could not be passed on. Always final: what was not yet taken must not be served.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error(transparent)]
    Html(#[from] HtmlError),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    NotAnIndex(#[from] NotAnIndex),
    #[error("the page is of version {0:?}, which is not known")]
    Version(String),
    #[error("the page failed before")]
    Spent,
}

/// A page on its way: write what came, take what is ready.
#[derive(Debug)]
pub struct Rewriter {
    /// `None` once an error was returned.
    reader: Option<Reader>,
    /// Where the page is written anew; `None` in kind.
    renderer: Option<Arc<Mutex<Renderer>>>,
}

#[derive(Debug)]
enum Reader {
    Html(Box<HtmlReader>),
    Json(Box<JsonReader>),
}

/// The end of a page that was whole, and an index page.
#[derive(Debug)]
pub struct Finished {
    /// The last bytes.
    pub rest: Bytes,
    /// Places in the page as it was given out, one for each markable replacement, in order; for
    /// [`super::annotate`].
    pub marks: Vec<u64>,
    pub status: Option<ProjectStatus>,
    pub left_out: LeftOut,
}

impl Rewriter {
    /// `page_url` is where the page was served; links are resolved against it. `decide` is given each
    /// entry once, in order. In a page that stays what it is, it is also given links that are no
    /// entries (of a web server's listing, say), so that those, too, may lead elsewhere.
    pub fn new(
        source: Format,
        target: Format,
        subject: Subject,
        page_url: Url,
        decide: impl FnMut(&Entry<'_>) -> Decision + Send + 'static,
    ) -> Self {
        let mut decide = decide;
        let renderer = (source != target)
            .then(|| Arc::new(Mutex::new(Renderer::new(target, subject.clone()))));
        let visit: Visit = match renderer.clone() {
            None => Box::new(move |entry, _| decide(entry)),
            Some(renderer) => {
                Box::new(move |entry, facts| render(&renderer, entry, decide(entry), facts))
            }
        };
        let passage = if renderer.is_some() {
            Passage::ReadOnly
        } else {
            Passage::InKind
        };
        let reader = match source {
            Format::Html => {
                Reader::Html(Box::new(HtmlReader::new(subject, page_url, passage, visit)))
            }
            Format::Json => {
                Reader::Json(Box::new(JsonReader::new(subject, page_url, passage, visit)))
            }
        };
        Self {
            reader: Some(reader),
            renderer,
        }
    }

    /// Takes in the next bytes of the page, in pieces of any size.
    ///
    /// # Errors
    /// [`RewriteError`]; from then on only [`RewriteError::Spent`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), RewriteError> {
        let written = match self.reader.as_mut().ok_or(RewriteError::Spent)? {
            Reader::Html(reader) => reader.write(chunk).map_err(RewriteError::from),
            Reader::Json(reader) => reader.write(chunk).map_err(RewriteError::from),
        };
        if written.is_err() {
            self.reader = None;
        }
        written
    }

    /// What is ready so far, in one piece; empty when nothing is.
    pub fn take_output(&mut self) -> Bytes {
        match (&self.renderer, &mut self.reader) {
            (Some(renderer), _) => lock(renderer).take_output(),
            (None, Some(Reader::Html(reader))) => reader.take_output(),
            (None, Some(Reader::Json(reader))) => reader.take_output(),
            (None, None) => Bytes::new(),
        }
    }

    /// Ends the page and judges whether it was a whole index page.
    ///
    /// # Errors
    /// [`RewriteError`], also when an earlier write had failed.
    pub fn finish(self) -> Result<Finished, RewriteError> {
        let (rest, marks, facts, left_out) = match self.reader.ok_or(RewriteError::Spent)? {
            Reader::Html(reader) => {
                let read = reader.finish()?;
                read.shape.judge()?;
                // An anchor that leads nowhere harms no reader, and passes.
                (read.rest, read.marks, read.facts, LeftOut::default())
            }
            Reader::Json(reader) => {
                let read = reader.finish()?;
                (read.rest, read.marks, read.facts, read.left_out)
            }
        };
        let (rest, marks) = match &self.renderer {
            None => (rest, marks),
            Some(renderer) => {
                // In kind the client reads the version for itself.
                if facts
                    .api_version()
                    .is_some_and(|version| !version.is_spoken())
                {
                    return Err(RewriteError::Version(facts.version.unwrap_or_default()));
                }
                lock(renderer).finish(&facts)
            }
        };
        Ok(Finished {
            rest,
            marks,
            status: facts.status,
            left_out,
        })
    }
}

fn render(
    renderer: &Mutex<Renderer>,
    entry: &Entry<'_>,
    decision: Decision,
    facts: &PageFacts,
) -> Decision {
    let (address, markable) = match decision {
        Decision::Drop => return Decision::Drop,
        Decision::Keep => (Cow::Borrowed(entry.url.as_str()), false),
        Decision::Replace(new) => (Cow::Owned(new.address), new.markable),
    };
    lock(renderer).add(
        &Line {
            entry,
            address,
            markable,
        },
        facts,
    );
    Decision::Keep
}

/// A poisoned page is only reachable through a rewriter whose caller caught a panic; its bytes are whole.
fn lock(renderer: &Mutex<Renderer>) -> MutexGuard<'_, Renderer> {
    renderer.lock()
}
