//! The page's bytes on their way through, with at most one value changed per tag.
//!
//! Owns the promise that only what was decided changes: bytes are copied as they came, except for
//! the ranges that were scheduled, so white space, quotes, order, comments and bytes that are no
//! UTF-8 survive. Must not know HTML beyond two facts: the byte before an attribute's value tells
//! its quotes, and an entry of a list ends with a `<br>` or a line.

use std::ops::Range;

use bytes::Bytes;

use super::value;
use crate::simple::output::Output;

/// A longer `<br      >` after a dropped anchor stays.
const BREAK_BYTES_MAX: usize = 16;

/// What takes the place of a range of the page.
#[derive(Debug)]
pub enum Change {
    /// The start of an attribute's value, as plain text; escaped here, for the quotes in use.
    Value(String),
    /// Nothing.
    Removed,
}

/// Copies the page, at a known position, and carries out the scheduled changes when they come by.
#[derive(Debug, Default)]
pub struct Patcher {
    /// Bytes of the original page that went through.
    position: usize,
    due: Option<(Range<usize>, Change)>,
    insertion_due: Option<usize>,
    skip: Option<Skip>,
    /// What follows a dropped stretch, while it may still be a line break.
    after_skip: Option<Vec<u8>>,
    out: Output,
    silent: bool,
}

/// A stretch that is dropped; where it ends may not be known yet.
#[derive(Debug)]
struct Skip {
    start: usize,
    end: Option<usize>,
}

/// A change did not meet the whole tag it was meant for.
#[derive(Debug)]
pub struct OutOfStep;

impl Patcher {
    /// A silent one gives nothing out.
    pub fn new(silent: bool) -> Self {
        Self {
            silent,
            ..Self::default()
        }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    pub fn take(&mut self) -> Bytes {
        self.out.take()
    }

    /// Schedules a change of a range that has not yet gone through.
    pub fn schedule(&mut self, range: Range<usize>, change: Change) -> Result<(), OutOfStep> {
        if self.due.is_some() || range.start < self.position {
            return Err(OutOfStep);
        }
        self.due = Some((range, change));
        Ok(())
    }

    /// Schedules an insertion point at a place that has not yet gone through, before any change of
    /// the same tag.
    pub fn schedule_insertion_point(&mut self, at: usize) -> Result<(), OutOfStep> {
        if self.insertion_due.is_some() || self.due.is_some() || at < self.position {
            return Err(OutOfStep);
        }
        self.insertion_due = Some(at);
        Ok(())
    }

    /// Drops what follows from here on, until told otherwise.
    pub fn begin_skip(&mut self, start: usize) -> Result<(), OutOfStep> {
        if self.skip.is_some() || start < self.position {
            return Err(OutOfStep);
        }
        self.flush_held();
        self.skip = Some(Skip { start, end: None });
        Ok(())
    }

    /// Ends the stretch being dropped, if there is one, and takes one line break with it.
    pub fn end_skip(&mut self, end: usize) -> Result<(), OutOfStep> {
        let Some(skip @ Skip { end: None, .. }) = &mut self.skip else {
            return Ok(());
        };
        if end < self.position {
            return Err(OutOfStep);
        }
        skip.end = Some(end);
        if end == self.position {
            self.skip_ended();
        }
        Ok(())
    }

    /// Lets the next bytes of the page through. A scheduled range must lie within one call.
    pub fn pass(&mut self, raw: &[u8]) -> Result<(), OutOfStep> {
        let mut at = self.position;
        let mut raw = raw;
        self.position += raw.len();
        let end = self.position;
        if let Some(point) = self.insertion_due.take_if(|point| *point < end) {
            let (head, tail) = raw.split_at_checked(point - at).ok_or(OutOfStep)?;
            self.copy(at, head);
            self.flush_held();
            self.out.note_insertion_point();
            (at, raw) = (point, tail);
        }
        if let Some((range, change)) = self.due.take_if(|(range, _)| range.start < end) {
            let (head, rest) = raw.split_at_checked(range.start - at).ok_or(OutOfStep)?;
            let tail = rest.get(range.len()..).ok_or(OutOfStep)?;
            self.copy(at, head);
            if let Change::Value(text) = change {
                let quotes = value::Quotes::of(head.last().copied());
                let bare_end = tail.first().is_none_or(|next| !matches!(next, b'#' | b'&'));
                self.copy(range.start, quotes.spell(&text, bare_end).as_bytes());
            }
            (at, raw) = (range.end, tail);
        }
        self.copy(at, raw);
        Ok(())
    }

    /// The page has ended.
    pub fn finish(&mut self) -> Output {
        self.flush_held();
        std::mem::take(&mut self.out)
    }

    /// Copies bytes from this position of the page, as far as they are not dropped.
    fn copy(&mut self, at: usize, raw: &[u8]) {
        let Some(skip) = &self.skip else {
            return self.emit(raw);
        };
        let kept = skip.start.saturating_sub(at).min(raw.len());
        let skip_end = skip.end;
        self.emit(&raw[..kept]);
        if let Some(end) = skip_end
            && end <= at + raw.len()
        {
            self.skip_ended();
            self.emit(&raw[end.saturating_sub(at)..]);
        }
    }

    fn skip_ended(&mut self) {
        self.skip = None;
        self.after_skip = Some(Vec::new());
    }

    fn emit(&mut self, raw: &[u8]) {
        if self.silent {
            return;
        }
        let Some(held) = &mut self.after_skip else {
            return self.out.push(raw);
        };
        let (looked_at, rest) = raw.split_at(raw.len().min(BREAK_BYTES_MAX - held.len()));
        held.extend_from_slice(looked_at);
        if line_break(held, false).is_some() {
            self.flush_held();
            self.out.push(rest);
        }
    }

    /// Decides about what is held, as if nothing followed.
    fn flush_held(&mut self) {
        if let Some(held) = self.after_skip.take() {
            let removed = line_break(&held, true).unwrap_or(0);
            self.out.push(&held[removed..]);
        }
    }
}

/// The length of the `<br>`, the end of line, or both, that a text starts with. `None` when more of
/// it must be seen first.
fn line_break(text: &[u8], is_all: bool) -> Option<usize> {
    let is_all = is_all || text.len() >= BREAK_BYTES_MAX;
    let tag = match break_tag(text) {
        Some(tag) => tag,
        None if is_all => 0,
        None => return None,
    };
    match &text[tag..] {
        [b'\n', ..] => Some(tag + 1),
        [b'\r', b'\n', ..] => Some(tag + 2),
        [] | [b'\r'] if !is_all => None,
        _ => Some(tag),
    }
}

/// The length of a whole `<br>` in front, 0 if there is none; `None` when there may be one yet.
fn break_tag(text: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"<br";
    let known = text.len().min(NAME.len());
    if !text[..known].eq_ignore_ascii_case(&NAME[..known]) {
        return Some(0);
    }
    let rest = text.get(NAME.len()..)?;
    let blank = rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    match &rest[blank..] {
        [b'>', ..] => Some(NAME.len() + blank + 1),
        [b'/', b'>', ..] => Some(NAME.len() + blank + 2),
        [] | [b'/'] => None,
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(raw: &str, range: Range<usize>, change: Change) -> String {
        let mut patcher = Patcher::default();
        assert!(patcher.pass(b"before ").is_ok());
        assert!(
            patcher
                .schedule(range.start + 7..range.end + 7, change)
                .is_ok()
        );
        assert!(patcher.pass(raw.as_bytes()).is_ok());
        assert!(patcher.pass(b" after").is_ok());
        assert_eq!(patcher.position(), raw.len() + 13);
        String::from_utf8_lossy(&patcher.take()).into_owned()
    }

    #[test]
    fn a_value_is_escaped_for_its_quotes() {
        let new = || Change::Value("/?a=1&b='\"".to_owned());
        let table = [
            (
                r#"<a href="x#f">"#,
                9..10,
                r#"before <a href="/?a=1&amp;b='&quot;#f"> after"#,
            ),
            (
                "<a href='x#f'>",
                9..10,
                "before <a href='/?a=1&amp;b=&#39;&quot;#f'> after",
            ),
            (
                "<a href=x#f>",
                8..9,
                "before <a href=/?a&#61;1&amp;b&#61;&#39;&quot;#f> after",
            ),
        ];
        for (raw, range, expected) in table {
            assert_eq!(patched(raw, range, new()), expected);
        }
    }

    #[test]
    fn a_removed_tag_leaves_its_neighbours() {
        assert_eq!(
            patched("<base href=x>", 0..13, Change::Removed),
            "before  after"
        );
    }

    #[test]
    fn an_unquoted_value_that_becomes_empty_is_quoted() {
        assert_eq!(
            patched("<a href=x b>", 8..9, Change::Value(String::new())),
            "before <a href=\"\" b> after"
        );
    }

    #[test]
    fn a_range_that_is_cut_or_gone_by_is_an_error() {
        let mut patcher = Patcher::default();
        assert!(patcher.schedule(2..6, Change::Removed).is_ok());
        assert!(patcher.schedule(2..6, Change::Removed).is_err());
        assert!(patcher.pass(b"0123").is_err());
        assert!(patcher.schedule(2..6, Change::Removed).is_err());
    }

    #[test]
    fn a_dropped_stretch_takes_one_line_break_with_it() {
        let table = [
            ("[x]<br />\n\ny", "\ny"),
            ("[x]<BR>y", "y"),
            ("[x]<br/>\r\ny", "y"),
            ("[x]\ny", "y"),
            ("[x]\ry", "\ry"),
            ("[x]<br", "<br"),
            ("[x]<br>", ""),
            ("[x]<brave>", "<brave>"),
            ("[x]<br class=a>", "<br class=a>"),
            ("[x]<br            /   >", "<br            /   >"),
            ("[x]<p>", "<p>"),
            ("[x]", ""),
        ];
        for (page, left) in table {
            for step in 1..=page.len() {
                let mut patcher = Patcher::default();
                assert!(patcher.begin_skip(0).is_ok());
                assert!(patcher.end_skip(3).is_ok());
                for piece in page.as_bytes().chunks(step) {
                    assert!(patcher.pass(piece).is_ok());
                }
                let mut out = patcher.finish();
                assert_eq!(
                    String::from_utf8_lossy(&out.take()),
                    left,
                    "{page} by {step}"
                );
            }
        }
    }
}
