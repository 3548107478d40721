//! The fields of one event in the order in which they were written, and behind them the id of the
//! request that caused it.
//!
//! Owns what every line has, whatever its form, and the text that a line is written into: one for
//! each thread, so that no line asks for memory. Must not know how a field is spelled.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;

use crate::values::correlation;

/// The field that holds a client's address.
const CLIENT: &str = "client";

/// The field that holds a request's id.
const ID: &str = "id";

/// A longer text is not kept for the next line.
const KEPT_BYTES_MAX: usize = 4 << 10;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Whether lines tell clients' addresses (`log.client_address`). As global as the subscriber.
static CLIENT_ADDRESS: AtomicBool = AtomicBool::new(true);

/// Whether lines tell clients' addresses from now on.
pub fn show_client_addresses(shown: bool) {
    CLIENT_ADDRESS.store(shown, Ordering::Relaxed);
}

/// How a line is spelled.
pub(super) trait LineForm {
    fn text(&mut self, key: &str, value: &str);

    /// The same of a value that spells itself.
    fn debug(&mut self, key: &str, value: &dyn fmt::Debug);

    /// A number or a truth value, which has one spelling everywhere.
    fn bare(&mut self, key: &str, value: impl fmt::Display);
}

/// Has a line made, and writes it.
pub(super) fn with_line(writer: &mut Writer<'_>, make: impl FnOnce(&mut String)) -> fmt::Result {
    // Taken, not borrowed: a value that is spelled may write a line itself.
    let mut line = LINE.take();
    make(&mut line);
    let written = writer.write_str(&line);
    line.clear();
    if line.capacity() <= KEPT_BYTES_MAX {
        LINE.set(line);
    }
    written
}

/// Writes all fields of an event. A line that no request caused has no id.
pub(super) fn write(event: &Event<'_>, form: &mut impl LineForm) {
    let mut fields = Fields {
        form,
        has_id: false,
    };
    event.record(&mut fields);
    if fields.has_id {
        return;
    }
    if let Some(request) = correlation::current() {
        form.text(ID, &request.id().to_string());
    }
}

/// Adds what a value says of itself, which cannot fail unless the value itself does.
pub(super) fn push(line: &mut String, value: fmt::Arguments<'_>) {
    let _ = line.write_fmt(value);
}

struct Fields<'f, F> {
    form: &'f mut F,
    has_id: bool,
}

impl<F: LineForm> Fields<'_, F> {
    fn put(&mut self, field: &Field, write: impl FnOnce(&mut F, &str)) {
        let key = field.name();
        let is_hidden = key == CLIENT && !CLIENT_ADDRESS.load(Ordering::Relaxed);
        self.has_id |= key == ID;
        if !is_hidden {
            write(self.form, key);
        }
    }
}

impl<F: LineForm> Visit for Fields<'_, F> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |form, key| form.text(key, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |form, key| form.bare(key, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |form, key| form.bare(key, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |form, key| form.bare(key, value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.put(field, |form, key| form.bare(key, value));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |form, key| form.debug(key, value));
    }
}
