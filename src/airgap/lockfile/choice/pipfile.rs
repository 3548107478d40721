//! `Pipfile.lock`: its categories are groups.

use serde_json::{Map, Value};

use super::asked::{GroupChoice, OfferedGroups};
use crate::airgap::lockfile::contents::{self, LockError};

/// Not a category.
const META: &str = "_meta";

pub fn offered(name: &str, text: &str) -> Result<OfferedGroups, LockError> {
    let mut lock: Map<String, Value> = contents::from_json(name, text)?;
    lock.remove(META);
    Ok(OfferedGroups::new(lock.keys().map(String::as_str), []))
}

pub fn narrowed(name: &str, text: &str, choice: &GroupChoice) -> Result<String, LockError> {
    let mut lock: Map<String, Value> = contents::from_json(name, text)?;
    lock.retain(|key, _| key == META || choice.takes_group(key));
    Ok(Value::Object(lock).to_string())
}
