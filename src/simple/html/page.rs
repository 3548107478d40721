//! One page as it is being rewritten: what the parser's handlers and its output share.
//!
//! Owns the gathering of the page's [`Shape`] and the hand-over from a tag that the parser reports to
//! the change that the splicer makes. Must not drive the parser.

use lol_html::send::Element;
use url::Url;

use super::error::HtmlError;
use super::link::{Link, Links, Rewrite};
use super::splice::{Change, OutOfStep, Splicer};
use super::value::Written;
use crate::simple::filename::is_distribution;
use crate::simple::shape::Shape;

/// Enough of a title to recognise it.
const HEARD_BYTES_MAX: usize = 256;

/// The digests that fragments are known to carry (PEP 503 and its users).
const DIGESTS: [&str; 7] = ["sha256=", "sha512=", "sha384=", "sha224=", "sha1=", "md5=", "blake2b="];

pub(super) struct Page {
    pub(super) shape: Shape,
    pub(super) splicer: Splicer,
    pub(super) title: Heard,
    pub(super) heading: Heard,
    links: Links,
    out_of_step: bool,
}

impl Page {
    pub(super) fn new(page_url: Url, rewrite: Rewrite) -> Self {
        Self {
            shape: Shape::default(),
            splicer: Splicer::default(),
            title: Heard::default(),
            heading: Heard::default(),
            links: Links::new(page_url, rewrite),
            out_of_step: false,
        }
    }

    /// The parser's output: bytes of the page as they came.
    pub(super) fn pass(&mut self, raw: &[u8]) {
        let from = self.splicer.position();
        self.title.hear(from, raw);
        self.heading.hear(from, raw);
        if self.shape.first_byte.is_none() {
            let text = if from == 0 { raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw) } else { raw };
            self.shape.first_byte = text.trim_ascii_start().first().copied();
        }
        self.out_of_step |= self.splicer.pass(raw).is_err();
    }

    /// The output cannot fail, so its failure waits here until the parser has returned.
    pub(super) fn in_step(&self) -> Result<(), HtmlError> {
        if self.out_of_step { Err(HtmlError::OutOfStep) } else { Ok(()) }
    }

    /// A start tag `<a href>`; of several `href`s the first counts.
    pub(super) fn link(&mut self, el: &Element<'_, '_>) -> Result<(), HtmlError> {
        self.shape.anchors += 1;
        let attributes = el.attributes();
        let Some(href) = attributes.iter().find(|attribute| attribute.name() == "href") else {
            return Ok(());
        };
        // `<a href>` and `<a href=>` have no value to change.
        let Some(place) = href.value_source_location() else { return Ok(()) };
        let value = href.value();
        let Some(written) = Written::read(&value) else { return Ok(()) };
        let Some(url) = self.links.resolve(&written) else { return Ok(()) };
        let fragment = written.fragment();
        let link = Link { url: &url, fragment: fragment.as_deref(), attributes };
        self.count(&link);
        if let Some(new) = self.links.replacement(&written, &link) {
            let start = place.bytes().start;
            self.splicer.schedule(start..start + written.raw_address.len(), Change::Value(new))?;
        }
        Ok(())
    }

    /// A start tag `<base href>`: its meaning moves into the links, since the page is served elsewhere.
    pub(super) fn base(&mut self, el: &Element<'_, '_>) -> Result<(), HtmlError> {
        self.links.set_base(&el.get_attribute("href").unwrap_or_default())?;
        self.splicer.schedule(el.source_location().bytes(), Change::Removed)?;
        Ok(())
    }

    pub(super) fn meta(&mut self, el: &Element<'_, '_>) {
        let is_version = |name: String| name.trim_ascii().eq_ignore_ascii_case("pypi:repository-version");
        if el.get_attribute("name").is_some_and(is_version) {
            let version = el.get_attribute("content").unwrap_or_default();
            self.shape.repository_version.get_or_insert_with(|| clean(version.as_bytes()));
        }
    }

    /// The page has ended; `unfinished` when the parser still waited for the end of a tag.
    pub(super) fn finish(&mut self, unfinished: bool) -> Shape {
        self.shape.title = self.title.text();
        self.shape.heading = self.heading.text();
        self.shape.cut_in_tag = unfinished;
        std::mem::take(&mut self.shape)
    }

    fn count(&mut self, link: &Link<'_>) {
        let is_hashed = |fragment: &str| DIGESTS.iter().any(|digest| fragment.starts_with(digest));
        self.shape.hashed_anchors += usize::from(link.fragment.is_some_and(is_hashed));
        self.shape.file_anchors += usize::from(is_distribution(link.last_segment()));
        self.shape.nested_anchors += usize::from(self.links.is_nested(link.url));
    }
}

impl From<OutOfStep> for HtmlError {
    fn from(OutOfStep: OutOfStep) -> Self {
        Self::OutOfStep
    }
}

/// The beginning of an element's content, overheard as its bytes go by.
#[derive(Debug, Default)]
pub(super) struct Heard {
    from: Option<usize>,
    ended: bool,
    raw: Vec<u8>,
}

impl Heard {
    /// Starts at this position; false when one was heard before.
    pub(super) fn begin(&mut self, position: usize) -> bool {
        let first = self.from.is_none();
        self.from.get_or_insert(position);
        first
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    fn hear(&mut self, position: usize, raw: &[u8]) {
        let Some(from) = self.from.filter(|_| !self.ended) else { return };
        let content = raw.get(from.saturating_sub(position)..).unwrap_or_default();
        let room = HEARD_BYTES_MAX - self.raw.len();
        self.raw.extend_from_slice(&content[..content.len().min(room)]);
    }

    fn text(&self) -> Option<String> {
        self.from.map(|_| clean(&self.raw)).filter(|text| !text.is_empty())
    }
}

/// Text for a person: without tags, references, control characters and runs of white space.
fn clean(raw: &[u8]) -> String {
    let mut in_tag = false;
    let text: Vec<u8> = raw
        .iter()
        .copied()
        .filter(|&byte| {
            in_tag |= byte == b'<';
            let keep = !in_tag;
            in_tag &= byte != b'>';
            keep
        })
        .collect();
    let text = String::from_utf8_lossy(&text);
    let text = html_escape::decode_html_entities(&text);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
