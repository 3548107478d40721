//! A tree of values as a list, each by its dotted key. Pure.

use serde_json::Value;

/// Each value that is no table, by its dotted key.
pub fn flatten(above: &str, value: &Value, all: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let key = if above.is_empty() {
                    key.clone()
                } else {
                    format!("{above}.{key}")
                };
                flatten(&key, value, all);
            }
        }
        value => all.push((above.to_owned(), value.clone())),
    }
}
