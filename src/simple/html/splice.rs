//! The page's bytes on their way through, with at most one place changed per tag.
//!
//! Owns the promise that only links change: bytes are copied as they came, except for the ranges
//! that were scheduled, so white space, quotes, order, comments and bytes that are no UTF-8 survive.
//! Must not know HTML beyond one fact: the byte before an attribute's value tells its quotes.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::value;

/// What takes the place of a range of the page.
#[derive(Debug)]
pub(super) enum Change {
    /// The start of an attribute's value, as plain text; escaped here, for the quotes in use.
    Value(String),
    /// Nothing.
    Removed,
}

/// Copies the page, at a known position, and carries out the scheduled change when it comes by.
#[derive(Debug, Default)]
pub(super) struct Splicer {
    /// Bytes of the original page that went through.
    position: usize,
    due: Option<(Range<usize>, Change)>,
    out: BytesMut,
}

/// A change did not meet the whole tag it was meant for.
#[derive(Debug)]
pub(super) struct OutOfStep;

impl Splicer {
    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn ready_bytes(&self) -> usize {
        self.out.len()
    }

    pub(super) fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// Schedules a change of a range that has not yet gone through.
    pub(super) fn schedule(&mut self, range: Range<usize>, change: Change) -> Result<(), OutOfStep> {
        if self.due.is_some() || range.start < self.position {
            return Err(OutOfStep);
        }
        self.due = Some((range, change));
        Ok(())
    }

    /// Lets the next bytes of the page through. A scheduled range must lie within one call.
    pub(super) fn pass(&mut self, raw: &[u8]) -> Result<(), OutOfStep> {
        let from = self.position;
        self.position += raw.len();
        let due = self.due.take_if(|(range, _)| range.start < self.position);
        let Some((range, change)) = due else {
            self.out.extend_from_slice(raw);
            return Ok(());
        };
        let head = raw.get(..range.start - from).ok_or(OutOfStep)?;
        let tail = raw.get(range.end - from..).ok_or(OutOfStep)?;
        self.out.extend_from_slice(head);
        if let Change::Value(text) = change {
            let quotes = value::Quotes::of(head.last().copied());
            let bare_end = tail.first().is_none_or(|next| !matches!(next, b'#' | b'&'));
            self.out.extend_from_slice(quotes.spell(&text, bare_end).as_bytes());
        }
        self.out.extend_from_slice(tail);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(raw: &str, range: Range<usize>, change: Change) -> String {
        let mut splicer = Splicer::default();
        assert!(splicer.pass(b"before ").is_ok());
        assert!(splicer.schedule(range.start + 7..range.end + 7, change).is_ok());
        assert!(splicer.pass(raw.as_bytes()).is_ok());
        assert!(splicer.pass(b" after").is_ok());
        assert_eq!(splicer.position(), raw.len() + 13);
        String::from_utf8_lossy(&splicer.take()).into_owned()
    }

    #[test]
    fn a_value_is_escaped_for_its_quotes() {
        let new = || Change::Value("/?a=1&b='\"".to_owned());
        let table = [
            (r#"<a href="x#f">"#, 9..10, r#"before <a href="/?a=1&amp;b='&quot;#f"> after"#),
            ("<a href='x#f'>", 9..10, "before <a href='/?a=1&amp;b=&#39;&quot;#f'> after"),
            ("<a href=x#f>", 8..9, "before <a href=/?a&#61;1&amp;b&#61;&#39;&quot;#f> after"),
        ];
        for (raw, range, expected) in table {
            assert_eq!(spliced(raw, range, new()), expected);
        }
    }

    #[test]
    fn a_removed_tag_leaves_its_neighbours() {
        assert_eq!(spliced("<base href=x>", 0..13, Change::Removed), "before  after");
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
}
