//! Reads a JSON page (PEP 691) while it streams through, changes its links, and nothing else.
//!
//! Owns the splitting: the page's object is walked key by key, its list is handed out one element
//! at a time, and everything else passes as it came, checked for grammar, in memory that does not
//! grow with the page. An element that is no entry is left out, because some clients refuse a whole
//! page for it. Must not know what is decided about an entry, nor HTML.

mod element;
mod error;
mod scanner;
#[cfg(test)]
mod tests;
mod top;

use std::ops::Range;

use bytes::Bytes;
use url::Url;

use self::element::{FileLink, JsonFile};
use self::error::{ENTRY_BYTES_MAX, SEPARATOR_BYTES_MAX, VALUE_BYTES_MAX};
use self::scanner::{Scan, Scanner};
use self::top::{PageKey, Top};
use super::entry::{
    Decision, Entry, EntryDecider, PageSubject, Passage, Replacement, SkippedEntries,
};
use super::name::ProjectName;
use super::output::{Output, PageEnd};

pub use self::error::JsonError;

/// A longer key, every letter of it escaped or not, is none that is read.
const KEY_BYTES_MAX: usize = 256;

const BYTE_ORDER_MARK: [u8; 3] = *b"\xef\xbb\xbf";

/// A page on its way through: write what came, take what is ready.
pub struct JsonReader {
    at: At,
    scanner: Scanner,
    /// The key, value or element that is being read.
    held: Vec<u8>,
    /// What stands between the last element and the next, until it is known whether that stays.
    separator: Vec<u8>,
    /// Bytes of the page that were read.
    position: u64,
    elements: u64,
    any_kept: bool,
    left_out: SkippedEntries,
    top: Top,
    subject: PageSubject,
    page_url: Url,
    decide: EntryDecider,
    /// `None` when the page is read for its entries only.
    out: Option<Output>,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The page's object, behind so many bytes of a byte order mark.
    Start(usize),
    Key {
        may_end: bool,
    },
    WithinKey,
    Colon(Option<PageKey>),
    Value(Option<PageKey>),
    CommaOrEnd,
    List,
    ElementOrEnd,
    Element,
    WithinElement,
    ElementCommaOrEnd,
    End,
}

impl JsonReader {
    /// `page_url` is where the page was served; links are resolved against it. `decide` is asked
    /// about each entry once, in order.
    pub fn new(
        subject: PageSubject,
        mut page_url: Url,
        passage: Passage,
        decide: EntryDecider,
    ) -> Self {
        page_url.set_fragment(None);
        Self {
            at: At::Start(0),
            scanner: Scanner::new(),
            held: Vec::new(),
            separator: Vec::new(),
            position: 0,
            elements: 0,
            any_kept: false,
            left_out: SkippedEntries::default(),
            top: Top::new(&subject),
            subject,
            page_url,
            decide,
            out: match passage {
                Passage::InKind => Some(Output::default()),
                Passage::ReadOnly => None,
            },
        }
    }

    /// Takes in the next bytes of the page, in pieces of any size. An error is final.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), JsonError> {
        let mut rest = chunk;
        while let Some(&byte) = rest.first() {
            let used = match self.at {
                At::WithinKey | At::Value(_) | At::WithinElement => self.within(rest)?,
                _ => self.between(byte)?,
            };
            self.position += used as u64;
            rest = &rest[used..];
        }
        Ok(())
    }

    /// What is ready so far, in one piece; empty when nothing is.
    pub fn take_output(&mut self) -> Bytes {
        match &mut self.out {
            Some(out) => out.take(),
            None => Bytes::new(),
        }
    }

    /// Ends the page.
    pub fn finish(self) -> Result<PageEnd, JsonError> {
        if !matches!(self.at, At::End) {
            return Err(JsonError::Truncated);
        }
        self.top.judge()?;
        Ok(PageEnd {
            out: self.out.unwrap_or_default(),
            facts: self.top.facts,
            left_out: self.left_out,
        })
    }

    /// One byte of the page's own grammar; says how many bytes are done with.
    fn between(&mut self, byte: u8) -> Result<usize, JsonError> {
        let expected = |expected| {
            Err(JsonError::Syntax {
                expected,
                position: self.position,
            })
        };
        let next = match (self.at, byte) {
            (At::Start(seen @ 0..3), _) if byte == BYTE_ORDER_MARK[seen] => At::Start(seen + 1),
            (At::Start(1 | 2), _) => return expected("UTF-8"),
            (At::Element | At::ElementCommaOrEnd, b' ' | b'\t' | b'\n' | b'\r') => {
                return self.hold_separator(byte);
            }
            (At::Start(_), b' ' | b'\t' | b'\n' | b'\r') => At::Start(BYTE_ORDER_MARK.len()),
            (at, b' ' | b'\t' | b'\n' | b'\r') => at,
            (At::Start(_), b'{') => At::Key { may_end: true },
            (At::Start(_), _) => return expected("an object"),
            (At::Key { may_end: true } | At::CommaOrEnd, b'}') => At::End,
            (At::Key { .. }, b'"') => return Ok(self.begin(At::WithinKey)),
            (At::Key { .. }, _) => return expected("a key"),
            (At::Colon(Some(PageKey::List)), b':') => At::List,
            (At::Colon(key), b':') => {
                self.begin(At::Value(key));
                self.at
            }
            (At::Colon(_), _) => return expected("a colon"),
            (At::CommaOrEnd, b',') => At::Key { may_end: false },
            (At::List, b'[') => At::ElementOrEnd,
            (At::List, _) => return expected("a list"),
            (At::ElementOrEnd, b']') => At::CommaOrEnd,
            (At::ElementCommaOrEnd, b']') => {
                let separator = std::mem::take(&mut self.separator);
                self.pass(&separator);
                At::CommaOrEnd
            }
            (At::ElementCommaOrEnd, b',') => {
                self.at = At::Element;
                return self.hold_separator(byte);
            }
            (At::ElementOrEnd | At::Element, _) => return Ok(self.begin(At::WithinElement)),
            (At::CommaOrEnd | At::ElementCommaOrEnd, _) => {
                return expected("a comma or a closing bracket");
            }
            (At::End | At::WithinKey | At::Value(_) | At::WithinElement, _) => {
                return expected("the end");
            }
        };
        self.at = next;
        self.pass(&[byte]);
        Ok(1)
    }

    /// A new key, value or element begins; nothing of it is read yet.
    fn begin(&mut self, at: At) -> usize {
        self.at = at;
        self.scanner = Scanner::new();
        self.held.clear();
        0
    }

    /// The next bytes of a key, value or element; says how many belong to it.
    fn within(&mut self, rest: &[u8]) -> Result<usize, JsonError> {
        let (part, is_whole) = match self.scanner.scan(rest, self.position)? {
            Scan::More => (rest, false),
            Scan::Ended(length) => (&rest[..length], true),
        };
        match self.at {
            At::WithinElement => {
                if !self.hold(part, ENTRY_BYTES_MAX) {
                    return Err(JsonError::LongEntry);
                }
                if is_whole {
                    self.element()?;
                    self.at = At::ElementCommaOrEnd;
                }
            }
            At::WithinKey => {
                let is_short = self.hold(part, KEY_BYTES_MAX);
                self.pass(part);
                if is_whole {
                    let key = if is_short {
                        self.top.key(&self.held)?
                    } else {
                        None
                    };
                    self.at = At::Colon(key);
                }
            }
            At::Value(Some(key)) => {
                if !self.hold(part, VALUE_BYTES_MAX) {
                    return Err(JsonError::LongValue(self.top.name(key)));
                }
                self.pass(part);
                if is_whole {
                    self.top.value(key, &self.held)?;
                    self.at = At::CommaOrEnd;
                }
            }
            _ => {
                self.pass(part);
                if is_whole {
                    self.at = At::CommaOrEnd;
                }
            }
        }
        Ok(part.len())
    }

    /// Keeps more of a key, value or element; false when that makes it longer than the limit.
    fn hold(&mut self, part: &[u8], limit: usize) -> bool {
        let room = limit.saturating_sub(self.held.len());
        self.held
            .extend_from_slice(&part[..part.len().min(room + 1)]);
        self.held.len() <= limit
    }

    fn hold_separator(&mut self, byte: u8) -> Result<usize, JsonError> {
        if self.separator.len() == SEPARATOR_BYTES_MAX {
            return Err(JsonError::LongSeparator);
        }
        self.separator.push(byte);
        Ok(1)
    }

    fn pass(&mut self, bytes: &[u8]) {
        if let Some(out) = &mut self.out {
            out.push(bytes);
        }
    }

    /// An element was read whole: asks about it, and writes what became of it.
    fn element(&mut self) -> Result<(), JsonError> {
        self.elements += 1;
        let held = std::mem::take(&mut self.held);
        let separator = std::mem::take(&mut self.separator);
        let Ok(text) = std::str::from_utf8(&held) else {
            return Err(JsonError::Syntax {
                expected: "UTF-8",
                position: self.position,
            });
        };
        let kept = match self.subject {
            PageSubject::Index => self.project(text),
            PageSubject::Project(_) => self.file(text),
        };
        match kept {
            Ok(None) => {}
            Ok(Some(patch)) => {
                if let Some(out) = &mut self.out {
                    // A comma stands between two elements, so the first that stays has none before
                    // it.
                    if self.any_kept {
                        out.push(&separator);
                    }
                    self.any_kept = true;
                    patch.write(text, out);
                }
            }
            Err(why) => {
                self.left_out.entries += 1;
                let first = || format!("entry {}: {why}", self.elements);
                self.left_out.first.get_or_insert_with(first);
            }
        }
        self.held = held;
        Ok(())
    }

    /// What a project's element becomes; `None` when it is left out.
    fn project(&mut self, text: &str) -> Result<Option<Patch>, serde_json::Error> {
        let name = element::project(text)?;
        let Some(url) = below(&self.page_url, &name) else {
            return Ok(Some(Patch::default()));
        };
        let entry = Entry::bare(&url, name, None);
        let decision = (self.decide)(&entry, &self.top.facts);
        match decision {
            Decision::Drop => Ok(None),
            // A project has no address of its own in JSON.
            Decision::Keep | Decision::Replace(_) => Ok(Some(Patch::default())),
        }
    }

    /// What a file's element becomes; `None` when it is left out.
    fn file(&mut self, text: &str) -> Result<Option<Patch>, serde_json::Error> {
        let file = JsonFile::read(text)?;
        let Some(address) = file.address(&self.page_url)? else {
            return Ok(Some(Patch::default()));
        };
        let entry = file.entry(&address)?;
        match (self.decide)(&entry, &self.top.facts) {
            Decision::Drop => Ok(None),
            Decision::Keep if address.is_absolute => Ok(Some(Patch::default())),
            Decision::Keep => {
                let new = Replacement {
                    address: address.whole(),
                    markable: false,
                    ..Replacement::default()
                };
                Ok(Some(Patch::new(&file, text, &address, &new)))
            }
            Decision::Replace(new) => Ok(Some(Patch::new(&file, text, &address, &new))),
        }
    }
}

/// What changes of an element that stays: one stretch of it, and what stands in its place.
#[derive(Default)]
struct Patch {
    range: Range<usize>,
    new: String,
    /// A place in the element as it was.
    insertion_point: Option<usize>,
}

impl Patch {
    fn new(file: &JsonFile<'_>, text: &str, address: &FileLink, new: &Replacement) -> Self {
        let mut patch = Self::default();
        if new.markable {
            patch.insertion_point = file.metadata_place(text);
        }
        // The fragment may say what nothing else does: some indexes give a file's digest there
        // only.
        let fragment = match address.text.find('#') {
            Some(at) => &address.text[at..],
            None => "",
        };
        let new_text = format!("{}{fragment}", new.address);
        let facts = file.lacking(&new.facts);
        if (address.text != new_text || !facts.is_empty())
            && let Some(range) = file.url_range(text)
        {
            patch.range = range;
            patch.new = quoted(&new_text) + &facts;
        }
        patch
    }

    fn write(&self, text: &str, out: &mut Output) {
        let start = out.position();
        out.push(&text.as_bytes()[..self.range.start]);
        out.push(self.new.as_bytes());
        out.push(&text.as_bytes()[self.range.end..]);
        if let Some(mut point) = self.insertion_point {
            if point >= self.range.end {
                point = point - self.range.len() + self.new.len();
            }
            out.note_insertion_point_at(start + point as u64);
        }
    }
}

/// Where a project's page is: one step below the index.
fn below(page_url: &Url, name: &str) -> Option<Url> {
    let project = ProjectName::parse(name);
    let segment = match &project {
        Ok(project) => project.as_str(),
        Err(_) => name,
    };
    let mut url = page_url.clone();
    url.set_query(None);
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .push(segment)
        .push("");
    Some(url)
}

/// What JSON has under `yanked`: the reason, or that there is none (PEP 592, PEP 691).
pub fn yanked(reason: &str) -> serde_json::Value {
    if reason.is_empty() {
        true.into()
    } else {
        reason.into()
    }
}

/// A text as JSON writes it.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
