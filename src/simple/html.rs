//! Reads an HTML page (PEP 503) while it streams through, changes its links, and nothing else.
//!
//! Owns the driving of the HTML parser, `lol_html`: chunk sizes, the memory limit, and that an
//! error is final. Must not know which links are changed into what, nor JSON.
//!
//! The parser is only asked *where* things are. It never modifies a tag, because it would write a
//! modified one anew and lose its white space; so its output is the page's own bytes, tag by tag,
//! and [`patch`] changes a value in passing, and no crate serialises. For the same reason there is
//! no text handler: text that a handler has seen is written anew too, with U+FFFD for bytes that
//! are no UTF-8.

mod anchor;
mod error;
mod link;
mod page;
mod patch;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use bytes::Bytes;
use lol_html::html_content::EndTag;
use lol_html::{MemorySettings, OutputSink, element, send};
use parking_lot::Mutex;
use url::Url;

use self::page::{ElementText, PageRewrite};
use super::entry::{EntryDecider, PageSubject, Passage, SkippedEntries};
use super::output::PageEnd;
use super::shape::{ElementState, Shape};

pub use self::error::{HtmlError, PARSER_BYTES_MAX};
pub use self::value::Quotes;

/// The parser buffers a whole piece beside an unfinished tag, so pieces are kept small.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// A page on its way through: write what came, take what is ready.
pub struct HtmlReader {
    /// `None` once an error was returned; the parser would panic when used again.
    parser: Option<send::HtmlRewriter<'static, Sink>>,
    page: SharedPage,
    written: usize,
}

impl HtmlReader {
    /// `page_url` is where the page was served; links are resolved against it, or against a
    /// `<base href>`. `decide` is asked about each link once, in order; when the page is only read,
    /// about each that is an entry.
    pub fn new(
        subject: PageSubject,
        page_url: Url,
        passage: Passage,
        decide: EntryDecider,
    ) -> Self {
        let page = Arc::new(Mutex::new(PageRewrite::new(
            subject, page_url, passage, decide,
        )));
        let parser = send::HtmlRewriter::new(settings(&page), Sink(Arc::clone(&page)));
        Self {
            parser: Some(parser),
            page,
            written: 0,
        }
    }

    /// Takes in the next bytes of the page, in pieces of any size.
    ///
    /// # Errors
    /// [`HtmlError`]; from then on only [`HtmlError::Spent`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), HtmlError> {
        for piece in chunk.chunks(WRITE_BYTES_MAX) {
            let parser = self.parser.as_mut().ok_or(HtmlError::Spent)?;
            let parsed = parser.write(piece).map_err(HtmlError::from);
            self.written += piece.len();
            if let Err(error) = parsed.and_then(|()| self.page.lock().in_step()) {
                self.parser = None;
                return Err(error);
            }
        }
        Ok(())
    }

    /// What is ready so far, in one piece; empty when nothing is.
    pub fn take_output(&mut self) -> Bytes {
        self.page.lock().patcher.take()
    }

    /// Ends the page, and says what it looked like.
    ///
    /// # Errors
    /// [`HtmlError`], also when an earlier write had failed.
    pub fn finish(mut self) -> Result<(PageEnd, Shape), HtmlError> {
        let parser = self.parser.take().ok_or(HtmlError::Spent)?;
        let unfinished = self.held_bytes() > 0;
        parser.end()?;
        let mut page = self.page.lock();
        page.in_step()?;
        let shape = page.finish(unfinished);
        let end = PageEnd {
            out: page.patcher.finish(),
            facts: std::mem::take(&mut page.facts),
            // An anchor that leads nowhere harms no reader, and passes.
            left_out: SkippedEntries::default(),
        };
        Ok((end, shape))
    }

    /// What the parser holds back: the beginning of a tag that has not ended.
    fn held_bytes(&self) -> usize {
        self.written - self.page.lock().patcher.position()
    }
}

/// Where the parser writes: the same page that its handlers describe.
struct Sink(SharedPage);

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.lock().pass(chunk);
    }
}

type SharedPage = Arc<Mutex<PageRewrite>>;

/// The handlers, all of them readers.
fn settings(page: &SharedPage) -> send::Settings<'static, 'static> {
    type Act = fn(&SharedPage, &mut send::Element<'_, '_>) -> Result<(), HtmlError>;
    let acts: [(&str, Act); 9] = [
        ("a", |page, el| {
            if page.lock().anchor(el)? && !at_end_tag(page, el, PageRewrite::anchor_ended) {
                page.lock().anchor_was_empty(el)?;
            }
            Ok(())
        }),
        ("base[href]", |page, el| page.lock().base(el)),
        ("meta[name]", |page, el| {
            page.lock().meta(el);
            Ok(())
        }),
        ("form", |page, _| {
            page.lock().shape.has_form = true;
            Ok(())
        }),
        ("input[type=password i]", |page, _| {
            page.lock().shape.has_password_field = true;
            Ok(())
        }),
        ("title", |page, el| {
            listen(page, el, |page| &mut page.title);
            Ok(())
        }),
        ("h1", |page, el| {
            listen(page, el, |page| &mut page.heading);
            Ok(())
        }),
        ("html", |page, el| {
            follow(page, el, |page| &mut page.shape.html);
            Ok(())
        }),
        ("body", |page, el| {
            follow(page, el, |page| &mut page.shape.body);
            Ok(())
        }),
    ];
    let memory = MemorySettings::new().with_max_allowed_memory_usage(PARSER_BYTES_MAX);
    let settings = send::Settings::new_send().with_memory_settings(memory);
    acts.into_iter()
        .fold(settings, |settings, (selector, act)| {
            let page = Arc::clone(page);
            // The macro's own unwrap is of the selector: nine constants, which every test parses.
            settings.append_element_content_handler(element!(
                selector,
                move |el: &mut send::Element<'_, '_>| { Ok(act(&page, el)?) }
            ))
        })
}

/// Notes that an element was opened, and when its end tag comes, that it was closed.
fn follow(
    page: &SharedPage,
    el: &mut send::Element<'_, '_>,
    field: fn(&mut PageRewrite) -> &mut ElementState,
) {
    *field(&mut page.lock()) = ElementState::Opened;
    at_end_tag(page, el, move |page, _| {
        *field(page) = ElementState::Closed;
        Ok(())
    });
}

/// Collects the text of the first such element.
fn listen(
    page: &SharedPage,
    el: &mut send::Element<'_, '_>,
    field: fn(&mut PageRewrite) -> &mut ElementText,
) {
    if field(&mut page.lock()).begin(el.source_location().bytes().end) {
        at_end_tag(page, el, move |page, _| {
            field(page).end();
            Ok(())
        });
    }
}

/// The end tag of an ancestor counts as the element's own. False when the element can have none.
fn at_end_tag(
    page: &SharedPage,
    el: &mut send::Element<'_, '_>,
    act: impl FnOnce(&mut PageRewrite, &EndTag<'_>) -> Result<(), HtmlError> + Send + 'static,
) -> bool {
    let page = Arc::clone(page);
    let Some(handlers) = el.end_tag_handlers() else {
        return false;
    };
    handlers.push(Box::new(move |end: &mut EndTag<'_>| {
        Ok(act(&mut page.lock(), end)?)
    }));
    true
}
