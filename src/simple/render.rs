//! Writes a page in the other format, from its entries as they come.
//!
//! Owns the choice of the writer. Must not know how a page is read: a fact that an entry does not
//! have is not written.

mod html;
mod json;

use bytes::Bytes;

use self::html::HtmlPage;
use self::json::JsonPage;
use super::entry::{Entry, PageSubject, Replacement};
use super::facts::PageFacts;
use super::format::Format;
use super::output::Output;

pub enum Renderer {
    Html(HtmlPage),
    Json(JsonPage),
}

impl Renderer {
    pub fn new(target: Format, subject: PageSubject) -> Self {
        match target {
            Format::Html => Self::Html(HtmlPage::new(subject)),
            Format::Json => Self::Json(JsonPage::new(subject)),
        }
    }

    /// Writes an entry as it was decided.
    pub fn add(&mut self, entry: &Entry<'_>, new: &Replacement, facts: &PageFacts) {
        match self {
            Self::Html(page) => page.add(entry, new, facts),
            Self::Json(page) => page.add(entry, new),
        }
    }

    pub fn take_output(&mut self) -> Bytes {
        match self {
            Self::Html(page) => page.out.take(),
            Self::Json(page) => page.out.take(),
        }
    }

    /// Ends the page, with all that was said about it.
    pub fn finish(&mut self, facts: &PageFacts) -> Output {
        match self {
            Self::Html(page) => page.finish(facts),
            Self::Json(page) => page.finish(facts),
        }
    }
}
