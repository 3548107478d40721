//! `Pipfile.lock`: its categories are groups.

use serde_json::{Map, Value};

use super::asked::{Choice, Offered};
use crate::airgap::lockfile::reading::LockError;

/// Not a category.
const META: &str = "_meta";

pub(super) fn offered(name: &str, text: &str) -> Result<Offered, LockError> {
    let lock = read(name, text)?;
    Ok(Offered::new(
        lock.keys().map(String::as_str).filter(|key| *key != META),
        [],
    ))
}

pub(super) fn narrowed(name: &str, text: &str, choice: &Choice) -> Result<String, LockError> {
    let mut lock = read(name, text)?;
    lock.retain(|key, _| key == META || choice.takes_group(key));
    Ok(Value::Object(lock).to_string())
}

fn read(name: &str, text: &str) -> Result<Map<String, Value>, LockError> {
    serde_json::from_str(text).map_err(|why| LockError::new(&format!("{name}:{}", why.line()), why))
}
