//! Writes a page in the other format, from its entries as they come.
//!
//! Owns the choice of the writer. Must not know how a page is read: a fact that an entry does not
//! have is not written.

mod decided_entry;
mod html;
mod json;

use bytes::Bytes;

use self::html::HtmlPage;
use self::json::JsonPage;
use super::entry::PageSubject;
use super::facts::PageFacts;
use super::format::Format;
use super::output::Output;

pub(super) use self::decided_entry::DecidedEntry;

#[derive(Debug)]
pub(super) enum Renderer {
    Html(HtmlPage),
    Json(JsonPage),
}

impl Renderer {
    pub(super) fn new(target: Format, subject: PageSubject) -> Self {
        match target {
            Format::Html => Self::Html(HtmlPage::new(subject)),
            Format::Json => Self::Json(JsonPage::new(subject)),
        }
    }

    pub(super) fn add(&mut self, decided: &DecidedEntry<'_>, facts: &PageFacts) {
        match self {
            Self::Html(page) => page.add(decided, facts),
            Self::Json(page) => page.add(decided),
        }
    }

    pub(super) fn take_output(&mut self) -> Bytes {
        match self {
            Self::Html(page) => page.take_output(),
            Self::Json(page) => page.take_output(),
        }
    }

    /// Ends the page, with all that was said about it; returns its last bytes and its insertion
    /// points.
    pub(super) fn finish(&mut self, facts: &PageFacts) -> (Bytes, Vec<u64>) {
        let mut out: Output = match self {
            Self::Html(page) => page.finish(facts),
            Self::Json(page) => page.finish(facts),
        };
        (out.take(), out.take_insertion_points())
    }
}
