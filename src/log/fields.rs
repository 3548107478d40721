//! The fields of one line in the order in which they were written, and behind them the id of the
//! request that caused it.
//!
//! Owns what every line has, whatever its form. Must not know how a field is spelled.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::number;
use crate::values::correlation;

/// The field that holds a client's address.
const CLIENT: &str = "client";

/// The field that holds a request's id.
const ID: &str = "id";

/// Whether lines tell clients' addresses (`log.client_address`). As global as the subscriber.
static CLIENT_ADDRESS: AtomicBool = AtomicBool::new(true);

/// Whether lines tell clients' addresses from now on.
pub fn show_client_addresses(shown: bool) {
    CLIENT_ADDRESS.store(shown, Ordering::Relaxed);
}

/// Whether lines tell clients' addresses. Of an event they are left out here; a line that is
/// written field by field has to ask.
pub fn are_client_addresses_shown() -> bool {
    CLIENT_ADDRESS.load(Ordering::Relaxed)
}

/// How a field is spelled.
pub(super) trait FieldForm {
    fn text(&mut self, key: &str, value: &str);

    /// The same of a text that [`is_word`].
    fn word(&mut self, key: &str, word: &str);

    /// The same of a text that is spelled behind the line.
    fn spelled(&mut self, key: &str, spell: &dyn Fn(&mut String));

    /// Where a number or a truth value is added, which has one spelling everywhere.
    fn bare(&mut self, key: &str) -> &mut String;
}

/// For each byte, whether it stands for itself in every form, in quotes and without them.
const IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(byte, b'"' | b'=' | b'\\');
        byte += 1;
    }
    table
};

/// Whether a text is spelled as it is, in every form: printable ASCII without blanks, quotes,
/// backslashes and `=`.
pub(super) fn is_word(text: &str) -> bool {
    // All bytes are looked at: to stop at the first other one costs more.
    let are_plain = text
        .bytes()
        .fold(true, |all, byte| all & IS_PLAIN[usize::from(byte)]);
    are_plain && !text.is_empty()
}

/// Adds what a value says of itself, which cannot fail unless the value itself does.
pub(super) fn push(line: &mut String, value: fmt::Arguments<'_>) {
    let _ = line.write_fmt(value);
}

/// Takes the fields of one line.
pub struct Fields<'f>(&'f mut dyn FieldForm);

impl<'f> Fields<'f> {
    pub(super) fn of(form: &'f mut dyn FieldForm) -> Self {
        Self(form)
    }

    /// All fields of an event. A line that no request caused has no id.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        let mut fields = EventFields {
            fields: self,
            has_id: false,
        };
        event.record(&mut fields);
        if fields.has_id {
            return;
        }
        if let Some(request) = correlation::current() {
            request.id().with_text(|id| self.text(ID, id));
        }
    }

    pub fn text(&mut self, key: &str, value: &str) {
        self.0.text(key, value);
    }

    /// A text of no other characters than a word has, as larder's own words are.
    pub fn word(&mut self, key: &str, word: &str) {
        self.0.word(key, word);
    }

    /// A text that is spelled behind the line, without a copy of it.
    pub fn spelled(&mut self, key: &str, spell: impl Fn(&mut String)) {
        self.0.spelled(key, &spell);
    }

    pub fn number(&mut self, key: &str, value: impl itoa::Integer) {
        number::push(self.0.bare(key), value);
    }

    /// So many thousandths, as a decimal.
    pub fn thousandths(&mut self, key: &str, value: u64) {
        number::push_thousandths(self.0.bare(key), value);
    }

    fn decimal(&mut self, key: &str, value: f64) {
        if value.is_finite() {
            number::push_decimal(self.0.bare(key), value);
        } else {
            self.debug(key, &value);
        }
    }

    /// A value that spells itself, which takes many times as long as a text.
    fn debug(&mut self, key: &str, value: &dyn fmt::Debug) {
        self.spelled(key, |line| push(line, format_args!("{value:?}")));
    }
}

/// Takes the fields of an event.
struct EventFields<'e, 'f> {
    fields: &'e mut Fields<'f>,
    has_id: bool,
}

impl EventFields<'_, '_> {
    fn put(&mut self, field: &Field, write: impl FnOnce(&mut Fields<'_>, &'static str)) {
        let key = field.name();
        self.has_id |= key == ID;
        if key != CLIENT || are_client_addresses_shown() {
            write(self.fields, key);
        }
    }
}

impl Visit for EventFields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |fields, key| fields.text(key, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |fields, key| fields.number(key, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |fields, key| fields.number(key, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        let spelled = if value { "true" } else { "false" };
        self.put(field, |fields, key| fields.0.bare(key).push_str(spelled));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |fields, key| fields.decimal(key, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |fields, key| fields.debug(key, value));
    }
}
