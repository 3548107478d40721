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

/// How a field is spelled.
pub(super) trait FieldForm {
    fn text(&mut self, key: &str, value: &str);

    /// The same of a text that [`is_word`].
    fn word(&mut self, key: &str, word: &str);

    /// The same of a value that spells itself.
    fn debug(&mut self, key: &str, value: &dyn fmt::Debug);

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
pub fn is_word(text: &str) -> bool {
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
pub struct Fields<'f> {
    form: &'f mut dyn FieldForm,
    has_id: bool,
}

impl<'f> Fields<'f> {
    pub(super) fn of(form: &'f mut dyn FieldForm) -> Self {
        Self {
            form,
            has_id: false,
        }
    }

    /// All fields of an event. A line that no request caused has no id.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        event.record(self);
        if self.has_id {
            return;
        }
        if let Some(request) = correlation::current() {
            request.id().with_text(|id| self.form.text(ID, id));
        }
    }

    pub fn text(&mut self, key: &str, value: &str) {
        self.put(key, |form| form.text(key, value));
    }

    /// A text that [`is_word`], as larder's own words are.
    pub fn word(&mut self, key: &str, word: &str) {
        self.put(key, |form| form.word(key, word));
    }

    pub fn number(&mut self, key: &str, value: u64) {
        self.put(key, |form| number::push(form.bare(key), value));
    }

    /// So many thousandths, as a decimal.
    pub fn thousandths(&mut self, key: &str, value: u64) {
        self.put(key, |form| number::push_thousandths(form.bare(key), value));
    }

    fn decimal(&mut self, key: &str, value: f64) {
        if value.is_finite() {
            self.put(key, |form| number::push_decimal(form.bare(key), value));
        } else {
            self.put(key, |form| form.debug(key, &value));
        }
    }

    /// A value that spells itself, which takes many times as long as a text.
    pub fn display(&mut self, key: &str, value: impl fmt::Display) {
        self.put(key, |form| form.debug(key, &format_args!("{value}")));
    }

    fn put(&mut self, key: &str, write: impl FnOnce(&mut dyn FieldForm)) {
        let is_hidden = key == CLIENT && !CLIENT_ADDRESS.load(Ordering::Relaxed);
        self.has_id |= key == ID;
        if !is_hidden {
            write(self.form);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        let key = field.name();
        self.put(key, |form| number::push(form.bare(key), value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        let key = field.name();
        let spelled = if value { "true" } else { "false" };
        self.put(key, |form| form.bare(key).push_str(spelled));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.decimal(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let key = field.name();
        self.put(key, |form| form.debug(key, value));
    }
}
