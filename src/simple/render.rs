//! Writes a page in the other format, from its entries as they come.
//!
//! Owns the choice of the writer. Must not know how a page is read: a fact that an entry does not
//! have is not written.

mod html;
mod json;
mod line;

use bytes::Bytes;

use self::html::HtmlPage;
use self::json::JsonPage;
use super::entry::Subject;
use super::facts::PageFacts;
use super::format::Format;
use super::output::Output;

pub(super) use self::line::Line;

#[derive(Debug)]
pub(super) enum Renderer {
    Html(HtmlPage),
    Json(JsonPage),
}

impl Renderer {
    pub(super) fn new(target: Format, subject: Subject) -> Self {
        match target {
            Format::Html => Self::Html(HtmlPage::new(subject)),
            Format::Json => Self::Json(JsonPage::new(subject)),
        }
    }

    pub(super) fn add(&mut self, line: &Line<'_>, facts: &PageFacts) {
        match self {
            Self::Html(page) => page.add(line, facts),
            Self::Json(page) => page.add(line),
        }
    }

    pub(super) fn take_output(&mut self) -> Bytes {
        match self {
            Self::Html(page) => page.take_output(),
            Self::Json(page) => page.take_output(),
        }
    }

    /// Ends the page, with all that was said about it; returns its last bytes and its marks.
    pub(super) fn finish(&mut self, facts: &PageFacts) -> (Bytes, Vec<u64>) {
        let mut out: Output = match self {
            Self::Html(page) => page.finish(facts),
            Self::Json(page) => page.finish(facts),
        };
        (out.take(), out.take_marks())
    }
}
