//! Fields as members of a JSON object, with the keys of the logfmt form.
//!
//! Must not know what is logged.

use super::fields::FieldForm;

/// Writes each member behind what there is already. A key is a field's name in the source: it has
/// nothing to escape.
pub(super) struct Members<'l>(pub &'l mut String);

impl Members<'_> {
    fn key(&mut self, key: &str) {
        self.0.push_str(",\"");
        self.0.push_str(key);
        self.0.push_str("\":");
    }

    fn quoted(&mut self, text: &str) {
        self.0.push('"');
        self.0.push_str(text);
        self.0.push('"');
    }
}

impl FieldForm for Members<'_> {
    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        if value.bytes().all(is_as_it_is) {
            return self.quoted(value);
        }
        // A text always has a spelling.
        let quoted = serde_json::to_string(value).unwrap_or_default();
        self.0.push_str(&quoted);
    }

    fn word(&mut self, key: &str, word: &str) {
        self.key(key);
        self.quoted(word);
    }

    fn spelled(&mut self, key: &str, spell: &dyn Fn(&mut String)) {
        self.key(key);
        let start = self.0.len();
        self.0.push('"');
        spell(self.0);
        if self.0[start + 1..].bytes().all(is_as_it_is) {
            return self.0.push('"');
        }
        let value = self.0.split_off(start);
        // A text always has a spelling.
        let quoted = serde_json::to_string(&value[1..]).unwrap_or_default();
        self.0.push_str(&quoted);
    }

    fn bare(&mut self, key: &str) -> &mut String {
        self.key(key);
        self.0
    }
}

/// Whether a byte stands for itself within quotes (RFC 8259 §7).
fn is_as_it_is(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_json_whatever_they_hold() {
        let mut line = "{\"a\":0".to_owned();
        let mut members = Members(&mut line);
        members.text("b", "\"x\"\n\u{1b}\\é");
        members.bare("c").push_str("1.5");
        members.text("d", "plain");
        line.push('}');
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({"a": 0, "b": "\"x\"\n\u{1b}\\é", "c": 1.5, "d": "plain"});
        assert_eq!(read, expected);
    }
}
