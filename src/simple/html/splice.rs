//! The page's bytes on their way through, with at most one value changed per tag.
//!
//! Owns the promise that only what was decided changes: bytes are copied as they came, except for the
//! ranges that were scheduled, so white space, quotes, order, comments and bytes that are no UTF-8
//! survive. Must not know HTML beyond two facts: the byte before an attribute's value tells its quotes,
//! and an entry of a list ends with a `<br>` or a line.

use std::ops::Range;

use bytes::Bytes;

use super::value;
use crate::simple::output::Output;

/// A longer `<br      >` after a dropped anchor stays.
const BREAK_BYTES_MAX: usize = 16;

/// What takes the place of a range of the page.
#[derive(Debug)]
pub(super) enum Change {
    /// The start of an attribute's value, as plain text; escaped here, for the quotes in use.
    Value(String),
    /// Nothing.
    Removed,
}

/// Copies the page, at a known position, and carries out the scheduled changes when they come by.
#[derive(Debug, Default)]
pub(super) struct Splicer {
    /// Bytes of the original page that went through.
    position: usize,
    due: Option<(Range<usize>, Change)>,
    mark_due: Option<usize>,
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
pub(super) struct OutOfStep;

impl Splicer {
    /// A silent one gives nothing out.
    pub(super) fn new(silent: bool) -> Self {
        Self {
            silent,
            ..Self::default()
        }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn take(&mut self) -> Bytes {
        self.out.take()
    }

    pub(super) fn take_marks(&mut self) -> Vec<u64> {
        self.out.take_marks()
    }

    /// Schedules a change of a range that has not yet gone through.
    pub(super) fn schedule(
        &mut self,
        range: Range<usize>,
        change: Change,
    ) -> Result<(), OutOfStep> {
        if self.due.is_some() || range.start < self.position {
            return Err(OutOfStep);
        }
        self.due = Some((range, change));
        Ok(())
    }

    /// Schedules a mark at a place that has not yet gone through, before any change of the same tag.
    pub(super) fn schedule_mark(&mut self, at: usize) -> Result<(), OutOfStep> {
        if self.mark_due.is_some() || self.due.is_some() || at < self.position {
            return Err(OutOfStep);
        }
        self.mark_due = Some(at);
        Ok(())
    }

    /// Drops what follows from here on, until told otherwise.
    pub(super) fn begin_skip(&mut self, start: usize) -> Result<(), OutOfStep> {
        if self.skip.is_some() || start < self.position {
            return Err(OutOfStep);
        }
        self.settle();
        self.skip = Some(Skip { start, end: None });
        Ok(())
    }

    /// Ends the stretch being dropped, if there is one, and takes one line break with it.
    pub(super) fn end_skip(&mut self, end: usize) -> Result<(), OutOfStep> {
        if let Some(skip) = self.skip.as_mut().filter(|skip| skip.end.is_none()) {
            if end < self.position {
                return Err(OutOfStep);
            }
            skip.end = Some(end);
            if end == self.position {
                self.skip_ended();
            }
        }
        Ok(())
    }

    /// Lets the next bytes of the page through. A scheduled range must lie within one call.
    pub(super) fn pass(&mut self, raw: &[u8]) -> Result<(), OutOfStep> {
        let (mut at, mut raw) = (self.position, raw);
        self.position += raw.len();
        let end = self.position;
        if let Some(mark) = self.mark_due.take_if(|mark| *mark < end) {
            let (head, tail) = raw.split_at_checked(mark - at).ok_or(OutOfStep)?;
            self.copy(at, head);
            self.settle();
            self.out.mark();
            (at, raw) = (mark, tail);
        }
        if let Some((range, change)) = self.due.take_if(|(range, _)| range.start < end) {
            let head = raw.get(..range.start - at).ok_or(OutOfStep)?;
            let tail = raw.get(range.end - at..).ok_or(OutOfStep)?;
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
    pub(super) fn finish(&mut self) {
        self.settle();
    }

    /// Copies bytes from this position of the page, as far as they are not dropped.
    fn copy(&mut self, at: usize, raw: &[u8]) {
        let Some(skip) = &self.skip else {
            return self.emit(raw);
        };
        let kept = skip.start.saturating_sub(at).min(raw.len());
        let resumed = skip.end.map(|end| end.saturating_sub(at).min(raw.len()));
        let ends = skip.end.is_some_and(|end| end <= at + raw.len());
        self.emit(&raw[..kept]);
        if ends {
            self.skip_ended();
            self.emit(&raw[resumed.unwrap_or(raw.len())..]);
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
            self.settle();
            self.out.push(rest);
        }
    }

    /// Decides about what is held, as if nothing followed.
    fn settle(&mut self) {
        if let Some(held) = self.after_skip.take() {
            let removed = line_break(&held, true).unwrap_or(0);
            self.out.push(&held[removed..]);
        }
    }
}

/// The length of the `<br>`, the end of line, or both, that a text starts with. `None` when more of it
/// must be seen first.
fn line_break(text: &[u8], is_all: bool) -> Option<usize> {
    let is_all = is_all || text.len() >= BREAK_BYTES_MAX;
    let tag = match break_tag(text) {
        None if !is_all => return None,
        tag => tag.unwrap_or(0),
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

    fn spliced(raw: &str, range: Range<usize>, change: Change) -> String {
        let mut splicer = Splicer::default();
        assert!(splicer.pass(b"before ").is_ok());
        assert!(
            splicer
                .schedule(range.start + 7..range.end + 7, change)
                .is_ok()
        );
        assert!(splicer.pass(raw.as_bytes()).is_ok());
        assert!(splicer.pass(b" after").is_ok());
        assert_eq!(splicer.position(), raw.len() + 13);
        String::from_utf8_lossy(&splicer.take()).into_owned()
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
            assert_eq!(spliced(raw, range, new()), expected);
        }
    }

    #[test]
    fn a_removed_tag_leaves_its_neighbours() {
        assert_eq!(
            spliced("<base href=x>", 0..13, Change::Removed),
            "before  after"
        );
    }

    #[test]
    fn an_unquoted_value_that_becomes_empty_is_quoted() {
        assert_eq!(
            spliced("<a href=x b>", 8..9, Change::Value(String::new())),
            "before <a href=\"\" b> after"
        );
    }

    #[test]
    fn a_range_that_is_cut_or_gone_by_is_an_error() {
        let mut splicer = Splicer::default();
        assert!(splicer.schedule(2..6, Change::Removed).is_ok());
        assert!(splicer.schedule(2..6, Change::Removed).is_err());
        assert!(splicer.pass(b"0123").is_err());
        assert!(splicer.schedule(2..6, Change::Removed).is_err());
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
                let mut splicer = Splicer::default();
                assert!(splicer.begin_skip(0).is_ok());
                assert!(splicer.end_skip(3).is_ok());
                for piece in page.as_bytes().chunks(step) {
                    assert!(splicer.pass(piece).is_ok());
                }
                splicer.finish();
                assert_eq!(
                    String::from_utf8_lossy(&splicer.take()),
                    left,
                    "{page} by {step}"
                );
            }
        }
    }
}
