//! One page as it is being rewritten: the state that the parser's handlers and its output share.
//!
//! Owns the gathering of the page's [`Shape`] and facts, and the hand-over from a tag that the
//! parser reports to the change that the patcher makes. Must not drive the parser.

use std::ops::Range;

use html_escape::decode_html_entities;
use lol_html::html_content::{Attribute, EndTag};
use lol_html::send::Element;
use url::Url;

use super::anchor;
use super::error::HtmlError;
use super::link::LinkResolver;
use super::patch::{Change, OutOfStep, Patcher};
use super::value::HrefValue;
use crate::simple::entry::{Decision, Entry, EntryDecider, PageSubject, Passage};
use crate::simple::facts::PageFacts;
use crate::simple::filename::is_distribution;
use crate::simple::name::ProjectName;
use crate::simple::shape::Shape;

/// Enough of a title to recognise it.
const TEXT_BYTES_MAX: usize = 256;

/// The digests that fragments are known to carry (PEP 503 and its users).
const DIGESTS: [&str; 7] = [
    "sha256=", "sha512=", "sha384=", "sha224=", "sha1=", "md5=", "blake2b=",
];

pub struct PageRewrite {
    pub shape: Shape,
    pub patcher: Patcher,
    pub title: ElementText,
    pub heading: ElementText,
    pub facts: PageFacts,
    subject: PageSubject,
    passage: Passage,
    links: LinkResolver,
    decide: EntryDecider,
    out_of_step: bool,
}

impl PageRewrite {
    pub fn new(
        subject: PageSubject,
        page_url: Url,
        passage: Passage,
        decide: EntryDecider,
    ) -> Self {
        Self {
            shape: Shape::default(),
            patcher: Patcher::new(passage == Passage::ReadOnly),
            title: ElementText::default(),
            heading: ElementText::default(),
            facts: PageFacts::default(),
            subject,
            passage,
            links: LinkResolver::new(page_url),
            decide,
            out_of_step: false,
        }
    }

    /// The parser's output: bytes of the page as they came.
    pub fn pass(&mut self, raw: &[u8]) {
        let from = self.patcher.position();
        self.title.hear(from, raw);
        self.heading.hear(from, raw);
        if self.shape.first_byte.is_none() {
            let text = match raw.strip_prefix(b"\xef\xbb\xbf") {
                Some(text) if from == 0 => text,
                _ => raw,
            };
            self.shape.first_byte = text.trim_ascii_start().first().copied();
        }
        self.out_of_step |= self.patcher.pass(raw).is_err();
    }

    /// The output cannot fail, so its failure waits here until the parser has returned.
    pub fn in_step(&self) -> Result<(), HtmlError> {
        if self.out_of_step {
            Err(HtmlError::OutOfStep)
        } else {
            Ok(())
        }
    }

    /// A start tag `<a>`; of several `href`s the first counts. True when the anchor is dropped: its
    /// end is then to be told to [`Self::anchor_ended`].
    pub fn anchor(&mut self, el: &Element<'_, '_>) -> Result<bool, HtmlError> {
        let tag = el.source_location().bytes();
        // An anchor ends the one before it, whether or not that was closed.
        self.patcher.end_skip(tag.start)?;
        let attributes = el.attributes();
        let Some(href) = attributes
            .iter()
            .find(|attribute| attribute.name() == "href")
        else {
            return Ok(false);
        };
        self.shape.anchors += 1;
        let value = href.value();
        let Some(place) = place_of(href, &value) else {
            return Ok(false);
        };
        let Some(written) = HrefValue::read(&value) else {
            return Ok(false);
        };
        let Some(url) = self.links.resolve(&written) else {
            return Ok(false);
        };
        let fragment = written.fragment();
        let entry = anchor::entry(&self.subject, &url, fragment.as_deref(), attributes);
        self.count(&entry);
        let is_asked = match self.passage {
            Passage::InKind => !self.links.is_within_page(&written),
            Passage::ReadOnly => self.is_listed(&entry),
        };
        if !is_asked {
            return Ok(false);
        }
        let decision = (self.decide)(&entry, &self.facts);
        if self.passage == Passage::ReadOnly {
            return Ok(false);
        }
        let address = match decision {
            Decision::Keep => LinkResolver::kept(&written, &url),
            Decision::Replace(new) => {
                if new.markable {
                    // Before all attributes, so that no quotes matter and that it is the first of
                    // its name.
                    self.patcher
                        .schedule_insertion_point(tag.start + "<a".len())?;
                }
                Some(new.address)
            }
            Decision::Drop => {
                self.patcher.begin_skip(tag.start)?;
                return Ok(true);
            }
        };
        if let Some(address) = address
            && address != written.address
        {
            let range = place.start..place.start + written.raw_address.len();
            self.patcher.schedule(range, Change::Value(address))?;
        }
        Ok(false)
    }

    /// A dropped anchor has ended, by its own end tag or by that of an element around it.
    pub fn anchor_ended(&mut self, end: &EndTag<'_>) -> Result<(), HtmlError> {
        let tag = end.source_location().bytes();
        let at = if end.name() == "a" {
            tag.end
        } else {
            tag.start
        };
        Ok(self.patcher.end_skip(at)?)
    }

    /// A dropped anchor without content.
    pub fn anchor_was_empty(&mut self, el: &Element<'_, '_>) -> Result<(), HtmlError> {
        Ok(self.patcher.end_skip(el.source_location().bytes().end)?)
    }

    /// Whether a reader of the page takes this link for an entry; a listing of a web server has
    /// others.
    fn is_listed(&self, entry: &Entry<'_>) -> bool {
        let is_name = match self.subject {
            PageSubject::Index => ProjectName::parse(&entry.name).is_ok(),
            PageSubject::Project(_) => !entry.name.is_empty(),
        };
        is_name && !entry.url.cannot_be_a_base() && !self.links.is_upward(entry.url)
    }

    /// A start tag `<base href>`: its meaning moves into the links, since the page is served
    /// elsewhere.
    pub fn base(&mut self, el: &Element<'_, '_>) -> Result<(), HtmlError> {
        self.links
            .set_base(&el.get_attribute("href").unwrap_or_default())?;
        self.patcher
            .schedule(el.source_location().bytes(), Change::Removed)?;
        Ok(())
    }

    /// A start tag `<meta name>`; of several with one name the first counts.
    pub fn meta(&mut self, el: &Element<'_, '_>) {
        let name = el.get_attribute("name").unwrap_or_default();
        let content = || {
            let raw = el.get_attribute("content").unwrap_or_default();
            decode_html_entities(&raw).into_owned()
        };
        match name.trim_ascii().to_ascii_lowercase().as_str() {
            "pypi:repository-version" => {
                let version = self.facts.version.get_or_insert_with(content);
                self.shape
                    .repository_version
                    .get_or_insert_with(|| clean(version.as_bytes()));
            }
            "pypi:project-status" => {
                let status = self.facts.status.get_or_insert_default();
                if status.status.is_empty() {
                    status.status = content();
                }
            }
            "pypi:project-status-reason" => {
                let status = self.facts.status.get_or_insert_default();
                status.reason.get_or_insert_with(content);
            }
            _ => {}
        }
    }

    /// The page has ended; `unfinished` when the parser still waited for the end of a tag.
    pub fn finish(&mut self, unfinished: bool) -> Shape {
        // A reason alone is the reason of nothing.
        if let Some(status) = &self.facts.status
            && status.status.trim_ascii().is_empty()
        {
            self.facts.status = None;
        }
        self.shape.title = self.title.text();
        self.shape.heading = self.heading.text();
        self.shape.cut_in_tag = unfinished;
        std::mem::take(&mut self.shape)
    }

    fn count(&mut self, entry: &Entry<'_>) {
        if let Some(fragment) = entry.fragment
            && DIGESTS.iter().any(|digest| fragment.starts_with(digest))
        {
            self.shape.hashed_anchors += 1;
        }
        let segment = entry.url.path().rsplit('/').next().unwrap_or_default();
        self.shape.file_anchors += usize::from(is_distribution(segment));
        self.shape.nested_anchors += usize::from(self.links.is_nested(entry.url));
        self.shape.upward_anchors += usize::from(self.links.is_upward(entry.url));
    }
}

impl From<OutOfStep> for HtmlError {
    fn from(OutOfStep: OutOfStep) -> Self {
        Self::OutOfStep
    }
}

/// The beginning of an element's content, overheard as its bytes go by.
#[derive(Debug, Default)]
pub struct ElementText {
    from: Option<usize>,
    ended: bool,
    raw: Vec<u8>,
}

impl ElementText {
    /// Starts at this position; false when one was heard before.
    pub fn begin(&mut self, position: usize) -> bool {
        let first = self.from.is_none();
        self.from.get_or_insert(position);
        first
    }

    pub fn end(&mut self) {
        self.ended = true;
    }

    fn hear(&mut self, position: usize, raw: &[u8]) {
        let Some(from) = self.from else {
            return;
        };
        if self.ended {
            return;
        }
        let content = raw.get(from.saturating_sub(position)..).unwrap_or_default();
        let room = TEXT_BYTES_MAX - self.raw.len();
        self.raw
            .extend_from_slice(&content[..content.len().min(room)]);
    }

    fn text(&self) -> Option<String> {
        self.from?;
        let text = clean(&self.raw);
        if text.is_empty() { None } else { Some(text) }
    }
}

/// Where the value of an attribute stands: `<a href>` and `<a href=>` have none to change. The
/// parser takes a byte order mark off a value; what it says is then not what stands there.
fn place_of(attribute: &Attribute<'_>, value: &str) -> Option<Range<usize>> {
    let place = attribute.value_source_location()?.bytes();
    if place.len() == value.len() {
        Some(place)
    } else {
        None
    }
}

/// Text for a person: without tags, references, control characters and runs of white space.
fn clean(raw: &[u8]) -> String {
    let mut in_tag = false;
    let mut text = raw.to_vec();
    text.retain(|&byte| {
        in_tag |= byte == b'<';
        let keep = !in_tag;
        in_tag &= byte != b'>';
        keep
    });
    let text = String::from_utf8_lossy(&text);
    let text = decode_html_entities(&text);
    let mut words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .collect();
    words.retain(|word| !word.is_empty());
    words.join(" ")
}
