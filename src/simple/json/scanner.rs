//! Finds the end of one JSON value, and checks its grammar on the way (RFC 8259).
//!
//! Owns the push-down automaton: fed in pieces of any size, it keeps one state and the open
//! brackets. No crate reads here: streaming JSON parsers give events, and a page is patched in
//! place, which needs byte positions. Must not know what a value means nor keep its bytes.

use super::error::JsonError;

/// Brackets that may be open at once.
const DEPTH_MAX: usize = 128;

/// What a piece of input was to the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// The value goes on after it.
    More,
    /// The value ended after so many bytes of it; none when a number had ended with the piece
    /// before.
    Ended(usize),
}

#[derive(Debug)]
pub struct Scanner {
    state: ScanState,
    open: Vec<Bracket>,
    utf8: Utf8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Object,
    Array,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Key,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    Value,
    ElementOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    Text(Text),
    Escape(Text),
    Hex(Text, u8),
    Number(Number),
    /// The bytes of `true`, `false` or `null` that are to come.
    Word(&'static [u8]),
}

/// How far a number has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Decimals,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// What one byte was.
enum ByteStep {
    Taken,
    Last,
    /// It no longer belongs to the value.
    Behind,
}

/// What is wrong with a byte: what should have stood there.
type Expected = &'static str;

impl Scanner {
    pub fn new() -> Self {
        Self {
            state: ScanState::Value,
            open: Vec::new(),
            utf8: Utf8::default(),
        }
    }

    /// Reads on. `position` is that of the piece on the page, for the words of an error.
    pub fn scan(&mut self, piece: &[u8], position: u64) -> Result<Scan, JsonError> {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            if matches!(self.state, ScanState::Text(_)) && self.utf8.is_whole() {
                let plain =
                    |byte: &u8| matches!(byte, 0x20..=0x7f) && !matches!(byte, b'"' | b'\\');
                let run = piece[at..].iter().take_while(|byte| plain(byte)).count();
                if run > 0 {
                    at += run;
                    continue;
                }
            }
            let syntax = |expected| JsonError::Syntax {
                expected,
                position: position + at as u64,
            };
            match self.step(byte).map_err(syntax)? {
                ByteStep::Taken => at += 1,
                ByteStep::Last => return Ok(Scan::Ended(at + 1)),
                ByteStep::Behind => return Ok(Scan::Ended(at)),
            }
        }
        Ok(Scan::More)
    }

    fn step(&mut self, byte: u8) -> Result<ByteStep, Expected> {
        let next = match (self.state, byte) {
            (ScanState::Text(text), _) => return self.text(text, byte),
            (ScanState::Number(number), _) => match digits(number, byte)? {
                Some(number) => ScanState::Number(number),
                None if self.open.is_empty() => return Ok(ByteStep::Behind),
                None => {
                    self.state = ScanState::CommaOrEnd;
                    return self.step(byte);
                }
            },
            (ScanState::Escape(text), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                ScanState::Text(text)
            }
            (ScanState::Escape(text), b'u') => ScanState::Hex(text, 4),
            (ScanState::Escape(_), _) => return Err("a known escape"),
            (ScanState::Hex(text, 1), _) if byte.is_ascii_hexdigit() => ScanState::Text(text),
            (ScanState::Hex(text, left), _) if byte.is_ascii_hexdigit() => {
                ScanState::Hex(text, left - 1)
            }
            (ScanState::Hex(..), _) => return Err("a hexadecimal digit"),
            (ScanState::Word([expected]), _) if byte == *expected => return Ok(self.ended()),
            (ScanState::Word([expected, rest @ ..]), _) if byte == *expected => {
                ScanState::Word(rest)
            }
            (ScanState::Word(_), _) => return Err("true, false or null"),
            (_, b' ' | b'\t' | b'\n' | b'\r') => return Ok(ByteStep::Taken),
            (ScanState::ElementOrEnd, b']') | (ScanState::KeyOrEnd, b'}') => {
                return Ok(self.close());
            }
            (ScanState::Value | ScanState::ElementOrEnd, _) => self.begin(byte)?,
            (ScanState::KeyOrEnd | ScanState::Key, b'"') => ScanState::Text(Text::Key),
            (ScanState::KeyOrEnd | ScanState::Key, _) => return Err("a key"),
            (ScanState::Colon, b':') => ScanState::Value,
            (ScanState::Colon, _) => return Err("a colon"),
            (ScanState::CommaOrEnd, _) => match (self.open.last(), byte) {
                (Some(Bracket::Object), b',') => ScanState::Key,
                (Some(Bracket::Array), b',') => ScanState::Value,
                (Some(Bracket::Object), b'}') | (Some(Bracket::Array), b']') => {
                    return Ok(self.close());
                }
                _ => return Err("a comma or a closing bracket"),
            },
        };
        self.state = next;
        Ok(ByteStep::Taken)
    }

    fn begin(&mut self, byte: u8) -> Result<ScanState, Expected> {
        Ok(match byte {
            b'"' => ScanState::Text(Text::Value),
            b'{' => self.enter(Bracket::Object, ScanState::KeyOrEnd)?,
            b'[' => self.enter(Bracket::Array, ScanState::ElementOrEnd)?,
            b'-' => ScanState::Number(Number::Minus),
            b'0' => ScanState::Number(Number::Zero),
            b'1'..=b'9' => ScanState::Number(Number::Digits),
            b't' => ScanState::Word(b"rue"),
            b'f' => ScanState::Word(b"alse"),
            b'n' => ScanState::Word(b"ull"),
            _ => return Err("a value"),
        })
    }

    fn enter(&mut self, bracket: Bracket, inside: ScanState) -> Result<ScanState, Expected> {
        if self.open.len() == DEPTH_MAX {
            return Err("no deeper nesting");
        }
        self.open.push(bracket);
        Ok(inside)
    }

    fn close(&mut self) -> ByteStep {
        self.open.pop();
        self.ended()
    }

    /// A value has ended, perhaps within another one.
    fn ended(&mut self) -> ByteStep {
        self.state = ScanState::CommaOrEnd;
        if self.open.is_empty() {
            ByteStep::Last
        } else {
            ByteStep::Taken
        }
    }

    fn text(&mut self, text: Text, byte: u8) -> Result<ByteStep, Expected> {
        if !self.utf8.is_whole() || byte >= 0x80 {
            self.utf8.feed(byte)?;
            return Ok(ByteStep::Taken);
        }
        match (byte, text) {
            (b'"', Text::Key) => self.state = ScanState::Colon,
            (b'"', Text::Value) => return Ok(self.ended()),
            (b'\\', _) => self.state = ScanState::Escape(text),
            (0..0x20, _) => return Err("an escaped control character"),
            _ => {}
        }
        Ok(ByteStep::Taken)
    }
}

/// The number with one more byte; `None` when it had ended before.
fn digits(number: Number, byte: u8) -> Result<Option<Number>, Expected> {
    use Number::{Decimals, Digits, Exponent, ExponentDigits, ExponentSign, Minus, Point, Zero};
    Ok(Some(match (number, byte) {
        (Minus, b'0') => Zero,
        (Minus, b'1'..=b'9') | (Digits, b'0'..=b'9') => Digits,
        (Zero | Digits, b'.') => Point,
        (Point | Decimals, b'0'..=b'9') => Decimals,
        (Zero | Digits | Decimals, b'e' | b'E') => Exponent,
        (Exponent, b'+' | b'-') => ExponentSign,
        (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
        (Zero | Digits | Decimals | ExponentDigits, _) => return Ok(None),
        _ => return Err("a digit"),
    }))
}

/// A character of several bytes on its way (RFC 3629).
#[derive(Debug, Default)]
struct Utf8 {
    left: u8,
    /// What the next byte may be, both ends included; surrogates and long forms are no characters.
    next: (u8, u8),
}

impl Utf8 {
    fn is_whole(&self) -> bool {
        self.left == 0
    }

    fn feed(&mut self, byte: u8) -> Result<(), Expected> {
        const ANY: (u8, u8) = (0x80, 0xbf);
        if self.left > 0 {
            if byte < self.next.0 || byte > self.next.1 {
                return Err("UTF-8");
            }
            (self.left, self.next) = (self.left - 1, ANY);
            return Ok(());
        }
        (self.left, self.next) = match byte {
            0xc2..=0xdf => (1, ANY),
            0xe0 => (2, (0xa0, 0xbf)),
            0xed => (2, (0x80, 0x9f)),
            0xe1..=0xef => (2, ANY),
            0xf0 => (3, (0x90, 0xbf)),
            0xf1..=0xf3 => (3, ANY),
            0xf4 => (3, (0x80, 0x8f)),
            _ => return Err("UTF-8"),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::value::RawValue;

    /// The length of the value in front, read in pieces; `None` when there is none or it is not
    /// whole.
    fn length(text: &[u8], step: usize) -> Option<usize> {
        let mut scanner = Scanner::new();
        let mut read = 0;
        for piece in text.chunks(step) {
            match scanner.scan(piece, 0).ok()? {
                Scan::More => read += piece.len(),
                Scan::Ended(used) => return Some(read + used),
            }
        }
        None
    }

    #[test]
    fn values_end_where_they_end() {
        let table: [(&[u8], Option<usize>); 22] = [
            (b"null,", Some(4)),
            (b" true", Some(5)),
            (b"\"a\\\"\\u00e9\\ud800\"x", Some(17)),
            (b"0,", Some(1)),
            (b"-12.5e+10]", Some(9)),
            (b"1e5 ", Some(3)),
            (b"{\"a\":[1,2,{}],\"b\":\"}\"} ,", Some(22)),
            (b"[[],[ ]]", Some(8)),
            (b"01 ", Some(1)),
            (b"-x", None),
            (b"1.x", None),
            (b"[1,]", None),
            (b"{\"a\"}", None),
            (b"{\"a\":1,}", None),
            (b"{1:2}", None),
            (b"[1}", None),
            (b"nul1", None),
            (b"\"\\x\"", None),
            (b"\"\n\"", None),
            (b"\"\xc0\xaf\"", None),
            (b"\"\xed\xa0\x80\"", None),
            (b"\"\xf0\x9f\x98\x80\"", Some(6)),
        ];
        for (text, expected) in table {
            for step in [1, 3, text.len()] {
                assert_eq!(length(text, step), expected, "{}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert_eq!(length(nested(DEPTH_MAX).as_bytes(), 7), Some(2 * DEPTH_MAX));
        assert_eq!(length(nested(DEPTH_MAX + 1).as_bytes(), 7), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// serde_json is the oracle: of what ends, and of what never does.
        #[test]
        fn what_is_accepted_is_what_serde_accepts(
            parts in prop::collection::vec(select(&[
                "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"\\u12aF\"", "\\", "1", "0", "-", ".", "e", "+",
                "true", "null", " ", "\n", "é", "\u{1}", "{\"k\":", "[1,",
            ][..]), 0..14),
            step in 1..9_usize,
        ) {
            let text = parts.concat() + " ";
            let is_json = |text: &str| serde_json::from_str::<&RawValue>(text).is_ok();
            match length(text.as_bytes(), step) {
                Some(end) => prop_assert!(is_json(&text[..end]), "{}", text),
                None => prop_assert!(!is_json(&text), "{}", text),
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), step in 1..9_usize) {
            let _ = length(&bytes, step);
        }
    }
}
