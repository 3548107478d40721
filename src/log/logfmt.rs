//! Fields as logfmt: `key=value`, the value in quotes where it needs them, and within quotes the
//! escapes of JSON, which every reader of logfmt undoes.
//!
//! The keys are those of the JSON form. Must not know what is logged.

use super::fields::{FieldForm, is_word, push};

/// Writes each pair behind what there is already.
pub(super) struct Pairs<'l>(pub &'l mut String);

impl Pairs<'_> {
    fn key(&mut self, key: &str) {
        self.0.push(' ');
        self.0.push_str(key);
        self.0.push('=');
    }
}

impl FieldForm for Pairs<'_> {
    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        if needs_quotes(value) {
            push_quoted(self.0, value);
        } else {
            self.0.push_str(value);
        }
    }

    fn word(&mut self, key: &str, word: &str) {
        self.key(key);
        self.0.push_str(word);
    }

    fn spelled(&mut self, key: &str, spell: &dyn Fn(&mut String)) {
        self.key(key);
        let start = self.0.len();
        spell(self.0);
        if needs_quotes(&self.0[start..]) {
            let value = self.0.split_off(start);
            push_quoted(self.0, &value);
        }
    }

    fn bare(&mut self, key: &str) -> &mut String {
        self.key(key);
        self.0
    }
}

fn needs_quotes(value: &str) -> bool {
    // Most values are words, and are told by their bytes.
    if is_word(value) {
        return false;
    }
    value.is_empty()
        || value.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '='))
}

fn push_quoted(line: &mut String, value: &str) {
    line.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() => push(line, format_args!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_quotes_where_it_needs_them() {
        for (value, expected) in [
            ("hit", " key=hit"),
            ("/simple/a%20b/", " key=/simple/a%20b/"),
            ("ä\\u", " key=ä\\u"),
            ("", " key=\"\""),
            ("two words", " key=\"two words\""),
            ("a=b", " key=\"a=b\""),
            ("\"a\" \\", " key=\"\\\"a\\\" \\\\\""),
            ("a\nb\u{1b}", " key=\"a\\nb\\u001b\""),
        ] {
            let mut line = String::new();
            Pairs(&mut line).text("key", value);
            assert_eq!(line, expected);
            line.clear();
            Pairs(&mut line).spelled("key", &|line| line.push_str(value));
            assert_eq!(line, expected);
        }
    }
}
