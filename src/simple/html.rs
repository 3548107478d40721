//! Rewrites the links of an HTML page while it streams through, and changes nothing else.
//!
//! Owns the driving of the HTML parser, `lol_html`: chunk sizes, the memory limit, and that an error is
//! final. Must not know which links are changed into what.
//!
//! The parser is only asked *where* things are. It never modifies a tag, because it would write a
//! modified one anew and lose its white space; so its output is the page's own bytes, tag by tag, and
//! [`splice`] changes a value in passing. For the same reason there is no text handler: text that a
//! handler has seen is written anew too, with U+FFFD for bytes that are no UTF-8.

mod error;
mod link;
mod page;
mod splice;
#[cfg(test)]
mod tests;
mod value;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lol_html::html_content::EndTag;
use lol_html::{MemorySettings, OutputSink, element, send};
use url::Url;

use self::page::{Heard, Page};
use super::shape::{Element, Shape};

pub use self::error::{HtmlError, PARSER_BYTES_MAX};
pub use self::link::Link;

/// The parser buffers a whole piece beside an unfinished tag, so pieces are kept small.
pub const WRITE_BYTES_MAX: usize = 64 << 10;

/// A page on its way through: write what came, take what is ready.
pub struct HtmlRewriter {
    /// `None` once an error was returned; the parser would panic when used again.
    parser: Option<send::HtmlRewriter<'static, Sink>>,
    page: Shared,
    written: usize,
}

impl HtmlRewriter {
    /// `page_url` is where the page was served; links are resolved against it, or against a
    /// `<base href>`. `rewrite` is given each link once, in order, and answers with the address to
    /// put in its place, unescaped and without fragment; or with `None`, and the link stays as
    /// written (made absolute where the removed `<base>` would have changed its meaning).
    pub fn new(page_url: Url, rewrite: impl FnMut(&Link<'_>) -> Option<String> + Send + 'static) -> Self {
        let page = Arc::new(Mutex::new(Page::new(page_url, Box::new(rewrite))));
        let parser = send::HtmlRewriter::new(settings(&page), Sink(Arc::clone(&page)));
        Self { parser: Some(parser), page, written: 0 }
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
            if let Err(error) = parsed.and_then(|()| lock(&self.page).in_step()) {
                self.parser = None;
                return Err(error);
            }
        }
        Ok(())
    }

    /// What is ready so far, in one piece; empty when nothing is.
    pub fn take_output(&mut self) -> Bytes {
        lock(&self.page).splicer.take()
    }

    /// How much [`Self::take_output`] would give.
    #[must_use]
    pub fn ready_bytes(&self) -> usize {
        lock(&self.page).splicer.ready_bytes()
    }

    /// Ends the page; returns its last bytes and what it looked like.
    ///
    /// # Errors
    /// [`HtmlError`], also when an earlier write had failed.
    pub fn finish(mut self) -> Result<(Bytes, Shape), HtmlError> {
        let parser = self.parser.take().ok_or(HtmlError::Spent)?;
        let unfinished = self.held_bytes() > 0;
        parser.end()?;
        let mut page = lock(&self.page);
        page.in_step()?;
        let shape = page.finish(unfinished);
        Ok((page.splicer.take(), shape))
    }

    /// What the parser holds back: the beginning of a tag that has not ended.
    fn held_bytes(&self) -> usize {
        self.written - lock(&self.page).splicer.position()
    }
}

impl std::fmt::Debug for HtmlRewriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HtmlRewriter").field("written", &self.written).finish_non_exhaustive()
    }
}

/// Where the parser writes: the same page that its handlers describe.
struct Sink(Shared);

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        lock(&self.0).pass(chunk);
    }
}

/// A poisoned page is only reachable through a rewriter whose caller caught a panic; its bytes are whole.
fn lock(page: &Mutex<Page>) -> MutexGuard<'_, Page> {
    page.lock().unwrap_or_else(PoisonError::into_inner)
}

type Shared = Arc<Mutex<Page>>;

/// The handlers, all of them readers.
fn settings(page: &Shared) -> send::Settings<'static, 'static> {
    type Act = fn(&Shared, &mut send::Element<'_, '_>) -> Result<(), HtmlError>;
    let acts: [(&str, Act); 9] = [
        ("a[href]", |page, el| lock(page).link(el)),
        ("base[href]", |page, el| lock(page).base(el)),
        ("meta[name]", |page, el| {
            lock(page).meta(el);
            Ok(())
        }),
        ("form", |page, _| {
            lock(page).shape.has_form = true;
            Ok(())
        }),
        ("input[type=password i]", |page, _| {
            lock(page).shape.has_password_field = true;
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
    acts.into_iter().fold(settings, |settings, (selector, act)| {
        let page = Arc::clone(page);
        // The macro's own unwrap is of the selector: nine constants, which every test parses.
        settings.append_element_content_handler(element!(selector, move |el: &mut send::Element<'_, '_>| {
            Ok(act(&page, el)?)
        }))
    })
}

/// Notes that an element was opened, and when its end tag comes, that it was closed.
fn follow(page: &Shared, el: &mut send::Element<'_, '_>, field: fn(&mut Page) -> &mut Element) {
    *field(&mut lock(page)) = Element::Opened;
    at_end_tag(page, el, move |page| *field(page) = Element::Closed);
}

/// Collects the text of the first such element.
fn listen(page: &Shared, el: &mut send::Element<'_, '_>, field: fn(&mut Page) -> &mut Heard) {
    if field(&mut lock(page)).begin(el.source_location().bytes().end) {
        at_end_tag(page, el, move |page| field(page).end());
    }
}

/// The end tag of an ancestor counts as the element's own.
fn at_end_tag(page: &Shared, el: &mut send::Element<'_, '_>, act: impl FnOnce(&mut Page) + Send + 'static) {
    let page = Arc::clone(page);
    if let Some(handlers) = el.end_tag_handlers() {
        handlers.push(Box::new(move |_: &mut EndTag<'_>| {
            act(&mut lock(&page));
            Ok(())
        }));
    }
}
