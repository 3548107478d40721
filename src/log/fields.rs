//! The fields of one event in the order in which they were written, and behind them the id of the
//! request that caused it.
//!
//! Owns what every line has, whatever its form. Must not know how a field is spelled.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Event;
use tracing::field::{Field, Visit};

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

/// How a line is spelled.
pub(super) trait LineForm {
    fn text(&mut self, key: &str, value: &str) -> fmt::Result;

    /// A number or a truth value, which has one spelling everywhere.
    fn bare(&mut self, key: &str, value: impl fmt::Display) -> fmt::Result;
}

/// Writes all fields of an event. A line that no request caused has no id.
pub(super) fn write(event: &Event<'_>, form: &mut impl LineForm) -> fmt::Result {
    let mut fields = Fields {
        form,
        has_id: false,
        written: Ok(()),
    };
    event.record(&mut fields);
    let has_id = fields.has_id;
    fields.written?;
    match correlation::current() {
        Some(request) if !has_id => form.text(ID, &request.id().to_string()),
        _ => Ok(()),
    }
}

struct Fields<'f, F> {
    form: &'f mut F,
    has_id: bool,
    written: fmt::Result,
}

impl<F: LineForm> Fields<'_, F> {
    fn put(&mut self, field: &Field, write: impl FnOnce(&mut F, &str) -> fmt::Result) {
        let key = field.name();
        let is_hidden = key == CLIENT && !CLIENT_ADDRESS.load(Ordering::Relaxed);
        self.has_id |= key == ID;
        if self.written.is_ok() && !is_hidden {
            self.written = write(self.form, key);
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
        let value = format!("{value:?}");
        self.put(field, |form, key| form.text(key, &value));
    }
}
