//! Lists, tables and markers of a lock in TOML. Pure.
//!
//! Must not know any format.

use toml::{Table, Value};

use crate::airgap::lockfile::contents::{self, LockError};
use crate::airgap::lockfile::marker::{MarkerVariable, Narrowed};

/// Takes out of a list of tables what `keep` does not want.
pub fn retain(
    table: &mut Table,
    key: &str,
    mut keep: impl FnMut(&mut Table) -> Result<bool, LockError>,
) -> Result<(), LockError> {
    let Some(Value::Array(items)) = table.get_mut(key) else {
        return Ok(());
    };
    let mut kept = Vec::new();
    for mut item in std::mem::take(items) {
        let stays = match &mut item {
            Value::Table(table) => keep(table)?,
            _ => true,
        };
        if stays {
            kept.push(item);
        }
    }
    *items = kept;
    Ok(())
}

/// What a list under a key has; nothing, if there is no list.
fn list<'t>(table: &'t Table, key: &str) -> &'t [Value] {
    match table.get(key) {
        Some(Value::Array(items)) => items,
        _ => &[],
    }
}

pub fn texts<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t str> + use<'t> {
    list(table, key).iter().filter_map(Value::as_str)
}

pub fn tables<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t Table> + use<'t> {
    list(table, key).iter().filter_map(Value::as_table)
}

/// The keys of a table within a table.
pub fn keys<'t>(table: &'t Table, key: &str) -> Vec<&'t str> {
    match table.get(key) {
        Some(Value::Table(inner)) => inner.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

pub fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key)?.as_str()
}

/// Narrows the marker under a key; false if it never holds.
pub fn narrow_marker(
    table: &mut Table,
    key: &str,
    is_out: &dyn Fn(MarkerVariable, &str) -> bool,
    place: &str,
) -> Result<bool, LockError> {
    let Some(marker) = contents::marker(text(table, key), place)? else {
        return Ok(true);
    };
    match marker.narrowed(is_out) {
        Narrowed::Never => return Ok(false),
        Narrowed::Always => drop(table.remove(key)),
        Narrowed::Where(left) if left != marker => {
            table.insert(key.to_owned(), Value::String(left.to_string()));
        }
        Narrowed::Where(_) => {}
    }
    Ok(true)
}
