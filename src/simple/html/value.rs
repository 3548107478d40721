//! The value of a `href` attribute, as it is written and as it is meant.
//!
//! Owns the way between the two: character references, the place where the fragment begins, the
//! escapes that each kind of quotes needs (HTML, "Attributes" and "Character references"). Must not
//! know what the address means.

use std::borrow::Cow;

use html_escape::decode_html_entities;

/// An attribute's value as written, taken apart without losing a byte: `raw_address` +
/// `raw_fragment`.
#[derive(Debug, PartialEq, Eq)]
pub struct HrefValue<'a> {
    /// Everything before the fragment, as written.
    pub raw_address: &'a str,
    /// The fragment with its `#`, as written; empty when there is none.
    pub raw_fragment: &'a str,
    /// The address without references.
    pub address: Cow<'a, str>,
}

impl<'a> HrefValue<'a> {
    /// `None` when the value cannot be changed with certainty: it holds bytes that are no UTF-8
    /// (shown as U+FFFD), or an address with a `#` spelled in a way that readers disagree about.
    pub fn read(raw: &'a str) -> Option<Self> {
        if raw.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        let (raw_address, raw_fragment) = raw.split_at(fragment_start(raw));
        let address = decode_html_entities(raw_address);
        if address.contains('#') {
            return None;
        }
        Some(Self {
            raw_address,
            raw_fragment,
            address,
        })
    }

    /// The fragment without its `#` and without references.
    pub fn fragment(&self) -> Option<Cow<'a, str>> {
        match decode_html_entities(self.raw_fragment) {
            Cow::Borrowed(text) => text.strip_prefix('#').map(Cow::Borrowed),
            Cow::Owned(text) => Some(Cow::Owned(text.strip_prefix('#')?.to_owned())),
        }
    }
}

/// Where the fragment begins: at a `#` of its own, or at a reference to one, but not at the `#` of
/// a reference (`&#39;`).
fn fragment_start(raw: &str) -> usize {
    let mut at = 0;
    while let Some(found) = raw[at..].find(['#', '&']) {
        at += found;
        let reference = reference_length(&raw[at..]);
        if reference == 0 && raw[at..].starts_with('&') {
            at += 1;
        } else if reference == 0 || decode_html_entities(&raw[at..at + reference]) == "#" {
            return at;
        } else {
            at += reference;
        }
    }
    raw.len()
}

/// The length of the reference that the text starts with: `&name;`, `&#39;`, `&#x27;`, and the
/// numeric ones also where the `;` is missing; 0 when it starts with none.
fn reference_length(text: &str) -> usize {
    let Some(body) = text.strip_prefix('&') else {
        return 0;
    };
    let (prefix, digits) = match body.strip_prefix('#') {
        None => (1, body.find(|c: char| !c.is_ascii_alphanumeric())),
        Some(number) => match number.strip_prefix(['x', 'X']) {
            None => (2, number.find(|c: char| !c.is_ascii_digit())),
            Some(hex) => (3, hex.find(|c: char| !c.is_ascii_hexdigit())),
        },
    };
    let end = digits.map_or(text.len(), |count| prefix + count);
    match (end > prefix, text[end..].starts_with(';')) {
        (true, true) => end + 1,
        (true, false) if prefix > 1 => end,
        _ => 0,
    }
}

/// How a value is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    Double,
    Single,
    None,
}

impl Quotes {
    /// Told from the byte before the value; an unquoted value never follows a quote.
    pub fn of(before: Option<u8>) -> Self {
        match before {
            Some(b'"') => Self::Double,
            Some(b'\'') => Self::Single,
            _ => Self::None,
        }
    }

    /// The text as it must be written between these quotes. Without quotes every character that may
    /// not stand there becomes a reference, so the value stays unquoted; only the empty value
    /// (`alone`: nothing of the old value follows) has no other form than quotes.
    pub fn spell(self, text: &str, alone: bool) -> String {
        if self == Self::None && alone && text.is_empty() {
            return "\"\"".to_owned();
        }
        let mut spelled = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            match c {
                '&' => spelled.push_str("&amp;"),
                '<' => spelled.push_str("&lt;"),
                '>' => spelled.push_str("&gt;"),
                '"' => spelled.push_str("&quot;"),
                '\'' if self != Self::Double => spelled.push_str("&#39;"),
                ' ' | '\t' | '\n' | '\r' | '\x0c' | '=' | '`' if self == Self::None => {
                    spelled.push_str("&#");
                    spelled.push_str(&u32::from(c).to_string());
                    spelled.push(';');
                }
                _ => spelled.push(c),
            }
        }
        spelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_taken_apart_at_its_fragment() {
        let table = [
            ("", "", "", None),
            ("x", "x", "", None),
            ("x#sha256=a", "x", "#sha256=a", Some("sha256=a")),
            ("x#a#b", "x", "#a#b", Some("a#b")),
            ("#", "", "#", Some("")),
            ("?a=1&amp;b=2#f", "?a=1&b=2", "#f", Some("f")),
            ("?a=1&b=2#f", "?a=1&b=2", "#f", Some("f")),
            ("?a=1&lt=2#f", "?a=1&lt=2", "#f", Some("f")),
            ("it&#39;s#f", "it's", "#f", Some("f")),
            ("it&#x27;s", "it's", "", None),
            ("x&#35;f", "x", "&#35;f", Some("f")),
            ("x&#x23;f", "x", "&#x23;f", Some("f")),
            ("x&num;f&amp;g", "x", "&num;f&amp;g", Some("f&g")),
            ("x&#f", "x&", "#f", Some("f")),
            ("x&", "x&", "", None),
        ];
        for (raw, address, raw_fragment, fragment) in table {
            let written = HrefValue::read(raw);
            assert_eq!(
                written.as_ref().map(|w| w.address.as_ref()),
                Some(address),
                "{raw}"
            );
            assert_eq!(
                written.as_ref().map(|w| w.raw_fragment),
                Some(raw_fragment),
                "{raw}"
            );
            assert_eq!(
                written.and_then(|w| w.fragment()).as_deref(),
                fragment,
                "{raw}"
            );
        }
    }

    #[test]
    fn what_readers_disagree_about_is_left_alone() {
        for raw in ["x&#35f", "x&#x27", "a\u{fffd}b"] {
            assert_eq!(HrefValue::read(raw), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_value_is_lost(raw in "[a-z#&;0-9x/]{0,20}|.{0,20}|(&#?x?[0-9a-f]{0,3};?|#|num;){0,6}") {
            if let Some(written) = HrefValue::read(&raw) {
                prop_assert_eq!([written.raw_address, written.raw_fragment].concat(), raw);
            }
        }

        #[test]
        fn what_is_spelled_is_read_again(text in "[a-z&<>\"'=` \t/;0-9]{0,20}|[^\u{fffd}#]{0,20}") {
            prop_assume!(!text.contains('#'));
            for quotes in [Quotes::Double, Quotes::Single, Quotes::None] {
                let spelled = quotes.spell(&text, false);
                prop_assert_eq!(decode_html_entities(&spelled), text.as_str());
                let forbidden: &[char] = match quotes {
                    Quotes::Double => &['"'],
                    Quotes::Single => &['\''],
                    Quotes::None => &[' ', '\t', '\n', '\r', '\x0c', '"', '\'', '=', '<', '>', '`'],
                };
                prop_assert!(!spelled.contains(forbidden), "{}", spelled);
            }
        }
    }
}
