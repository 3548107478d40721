//! One page on its way through larder: in the format it came in, or in the other one.
//!
//! Owns the pairing of a reader with the way out. In kind, the reader's own bytes pass with the
//! decided changes; otherwise it is only read, and a renderer writes the page anew. Must not know
//! why an entry becomes what it becomes.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use url::Url;

use super::entry::{
    Decision, Entry, EntryDecider, PageSubject, Passage, Replacement, SkippedEntries,
};
use super::facts::{PageFacts, ProjectStatus};
use super::format::Format;
use super::html::{HtmlError, HtmlReader};
use super::json::{JsonError, JsonReader};
use super::render::Renderer;
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
pub struct Rewriter {
    /// `None` once an error was returned.
    reader: Option<PageReader>,
    /// Where the page is written anew; `None` in kind.
    renderer: Option<Arc<Mutex<Renderer>>>,
}

enum PageReader {
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
    pub insertion_points: Vec<u64>,
    pub status: Option<ProjectStatus>,
    pub left_out: SkippedEntries,
}

impl Rewriter {
    /// `page_url` is where the page was served; links are resolved against it. `decide` is given
    /// each entry once, in order. In a page that stays what it is, it is also given links that are
    /// no entries (of a web server's listing, say), so that those, too, may lead elsewhere.
    pub fn new(
        source: Format,
        target: Format,
        subject: PageSubject,
        page_url: Url,
        mut decide: impl FnMut(&Entry<'_>) -> Decision + Send + 'static,
    ) -> Self {
        let mut renderer = None;
        let mut passage = Passage::InKind;
        if source != target {
            let new = Renderer::new(target, subject.clone());
            renderer = Some(Arc::new(Mutex::new(new)));
            passage = Passage::ReadOnly;
        }
        let rendered = renderer.clone();
        let decide: EntryDecider = Box::new(move |entry, facts| match &rendered {
            Some(renderer) => render(renderer, entry, decide(entry), facts),
            None => decide(entry),
        });
        let reader = match source {
            Format::Html => PageReader::Html(Box::new(HtmlReader::new(
                subject, page_url, passage, decide,
            ))),
            Format::Json => PageReader::Json(Box::new(JsonReader::new(
                subject, page_url, passage, decide,
            ))),
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
            PageReader::Html(reader) => reader.write(chunk).map_err(RewriteError::from),
            PageReader::Json(reader) => reader.write(chunk).map_err(RewriteError::from),
        };
        if written.is_err() {
            self.reader = None;
        }
        written
    }

    /// What is ready so far, in one piece; empty when nothing is.
    pub fn take_output(&mut self) -> Bytes {
        match (&self.renderer, &mut self.reader) {
            (Some(renderer), _) => renderer.lock().take_output(),
            (None, Some(PageReader::Html(reader))) => reader.take_output(),
            (None, Some(PageReader::Json(reader))) => reader.take_output(),
            (None, None) => Bytes::new(),
        }
    }

    /// Ends the page and judges whether it was a whole index page.
    ///
    /// # Errors
    /// [`RewriteError`], also when an earlier write had failed.
    pub fn finish(self) -> Result<Finished, RewriteError> {
        let end = match self.reader.ok_or(RewriteError::Spent)? {
            PageReader::Html(reader) => {
                let (end, shape) = reader.finish()?;
                shape.judge()?;
                end
            }
            PageReader::Json(reader) => reader.finish()?,
        };
        let mut out = end.out;
        let facts = end.facts;
        if let Some(renderer) = &self.renderer {
            // In kind the client reads the version for itself.
            if facts.is_unspoken() {
                return Err(RewriteError::Version(facts.version.unwrap_or_default()));
            }
            out = renderer.lock().finish(&facts);
        }
        Ok(Finished {
            rest: out.take(),
            insertion_points: out.insertion_points,
            status: facts.status,
            left_out: end.left_out,
        })
    }
}

fn render(
    renderer: &Mutex<Renderer>,
    entry: &Entry<'_>,
    decision: Decision,
    facts: &PageFacts,
) -> Decision {
    let new = match decision {
        Decision::Drop => return Decision::Drop,
        Decision::Replace(new) => new,
        Decision::Keep => Replacement {
            address: entry.url.to_string(),
            markable: false,
            ..Replacement::default()
        },
    };
    renderer.lock().add(entry, &new, facts);
    Decision::Keep
}
