//! A configuration read key by key, so that all of its faults are told at once, and what is good of
//! it can be checked all the same.
//!
//! Pure. Owns the sentences about keys that are none and about values of the wrong kind. A value is
//! not repeated where only its kind matters: a password may stand in the wrong place. Must not know
//! what a key means.

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::providers::Serialized;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::dotted::flatten;
use super::effective::without_secret;
use super::environment::Keys;
use super::renamed::new_name;
use super::spelling::nearest;

/// Longest word that is repeated.
const WORD_CHARS_MAX: usize = 40;

/// A key and what is wrong with it.
pub type Fault = (String, String);

pub struct Reading<C> {
    /// Of what is good; defaults stand for the rest.
    pub config: C,
    pub faults: Vec<Fault>,
}

/// Reads values that were merged from all layers.
pub fn read<C: Default + Serialize + DeserializeOwned>(values: &Value, keys: &Keys) -> Reading<C> {
    let mut walk = Walk {
        takes: |values| extract::<C>(values).map(drop),
        keys,
        good: Map::new(),
        faults: Vec::new(),
    };
    if let Value::Object(table) = values {
        walk.section(&mut Vec::new(), table);
    }
    let config = extract(&Value::Object(walk.good));
    Reading {
        // Each value of it was taken by itself.
        config: config.unwrap_or_default(),
        faults: walk.faults,
    }
}

fn extract<C: Default + Serialize + DeserializeOwned>(
    values: &Value,
) -> Result<C, Box<figment::Error>> {
    let defaults = Serialized::defaults(C::default());
    let figment = Figment::from(defaults).merge(Serialized::defaults(values));
    figment.extract().map_err(Box::new)
}

struct Walk<'k> {
    keys: &'k Keys,
    /// Whether values, with defaults for the rest, are a configuration.
    takes: fn(&Value) -> Result<(), Box<figment::Error>>,
    good: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Walk<'_> {
    fn section(&mut self, key: &mut Vec<String>, table: &Map<String, Value>) {
        for (name, value) in table {
            key.push(name.clone());
            self.value(key, value);
            key.pop();
        }
    }

    fn value(&mut self, key: &mut Vec<String>, value: &Value) {
        if let Some(new) = new_name(key) {
            return self.renamed(key, value, &new);
        }
        match (self.keys.find(key), value) {
            (None, _) => {
                let fault = unknown(key, value, self.keys);
                self.faults.push((key.join("."), fault));
            }
            (Some(Value::Object(_)), Value::Object(table)) => {
                // A section counts even if nothing is in it.
                put(&mut self.good, key, Value::Object(Map::new()));
                self.section(key, table);
            }
            (Some(Value::Object(_)), _) => {
                let name = key.join(".");
                let fault = format!("this is a section: write [{name}], and its keys below it");
                self.faults.push((name, fault));
            }
            (Some(_), value) => self.leaf(key, value),
        }
    }

    fn leaf(&mut self, key: &[String], value: &Value) {
        let mut alone = Map::new();
        put(&mut alone, key, value.clone());
        match (self.takes)(&Value::Object(alone)) {
            Ok(()) => put(&mut self.good, key, value.clone()),
            Err(why) => self.faults.push((key.join("."), in_words(&why.kind))),
        }
    }

    /// A key that has another name now. Of a section that is said where no key in it has one.
    fn renamed(&mut self, key: &mut Vec<String>, value: &Value, new: &str) {
        if let Value::Object(table) = value {
            for name in table.keys() {
                let below = [key.as_slice(), std::slice::from_ref(name)].concat();
                if new_name(&below).is_some() {
                    return self.section(key, table);
                }
            }
        }
        let fault = format!("this key is called {new} now");
        self.faults.push((key.join("."), fault));
    }
}

/// Puts a value at its place; a section that is there stays.
fn put(at: &mut Map<String, Value>, key: &[String], value: Value) {
    let [name, below @ ..] = key else { return };
    if below.is_empty() {
        at.entry(name).or_insert(value);
        return;
    }
    let section = at.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(section) = section {
        put(section, below, value);
    }
}

/// What is said of a key, or a section, that there is not.
fn unknown(key: &[String], value: &Value, keys: &Keys) -> String {
    let what = if value.is_object() { "section" } else { "key" };
    let written = key.join(".");
    let names = keys.names(key);
    if let Some(meant) = nearest(&written, names.iter().map(String::as_str)) {
        return format!("there is no such {what}; did you mean {meant}?");
    }
    // Perhaps it stands in the wrong section.
    let last = key.last().map_or("", String::as_str);
    let elsewhere = |name: &&String| name.rsplit('.').next() == Some(last);
    match names.iter().find(elsewhere) {
        Some(meant) if !value.is_object() => {
            format!("there is no such {what} here; did you mean {meant}?")
        }
        _ => format!("there is no such {what} (config.example.toml has them all)"),
    }
}

/// What is wrong with a value.
fn in_words(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!(
                "it must be {}, not {}",
                plainly(expected),
                found_kind(found)
            )
        }
        Kind::UnknownVariant(found, expected) => {
            let mut choices = String::new();
            for word in *expected {
                let or = if choices.is_empty() { "" } else { " or " };
                choices += &format!("{or}\"{word}\"");
            }
            let found: String = without_secret(found).chars().take(WORD_CHARS_MAX).collect();
            let found = found.escape_debug();
            match nearest(&found.to_string(), expected.iter().copied()) {
                Some(meant) => {
                    format!("it must be {choices}, not \"{found}\"; did you mean \"{meant}\"?")
                }
                None => format!("it must be {choices}, not \"{found}\""),
            }
        }
        kind => without_secret(&kind.to_string()),
    }
}

fn found_kind(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        Actual::Char(_) | Actual::Str(_) => "a text".to_owned(),
        other => other.to_string(),
    }
}

/// What was expected, without the names that types have in Rust.
fn plainly(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        other => other,
    }
}

impl Keys {
    /// All keys and sections, dotted; those of a mirror under the name that was written.
    fn names(&self, written: &[String]) -> Vec<String> {
        let mirror = match written {
            [_, name, _, ..] => name,
            _ => "NAME",
        };
        let mut leaves = Vec::new();
        flatten("", &self.shape, &mut leaves);
        flatten(&format!("mirrors.{mirror}"), &self.entry, &mut leaves);
        let mut names = vec!["mirrors".to_owned(), format!("mirrors.{mirror}")];
        for (name, _) in leaves {
            if let Some((section, _)) = name.rsplit_once('.')
                && names.iter().all(|known| known != section)
            {
                names.push(section.to_owned());
            }
            names.push(name);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::app::config::Config;

    fn faults(values: Value) -> Vec<Fault> {
        read::<Config>(&values, &Config::keys()).faults
    }

    fn fault(values: Value) -> String {
        let mut faults = faults(values);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let (key, why) = faults.remove(0);
        format!("{key}: {why}")
    }

    #[test]
    fn every_fault_is_told_and_what_is_good_is_taken() {
        let values = json!({
            "listenn": "127.0.0.1:1",
            "cache_size": "3GiB",
            "gitlab": { "url": 7, "retries": "many", "idle_timeout": "9s" },
            "mirrors": { "pypi": { "url": "https://index.example/simple/", "tll": "1m" } },
            "log": { "format": "jsno" },
            "index": { "fresh_for": "1m" },
        });
        let reading = read::<Config>(&values, &Config::keys());
        let keys: Vec<&str> = reading.faults.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "gitlab.retries",
                "gitlab.url",
                "index.fresh_for",
                "listenn",
                "log.format",
                "mirrors.pypi.tll"
            ]
        );
        assert_eq!(reading.config.cache_size.to_string(), "3GiB");
        assert_eq!(reading.config.gitlab.idle_timeout.to_string(), "9s");
        assert!(reading.config.mirrors.contains_key("pypi"));
    }

    #[test]
    fn what_was_meant_is_named() {
        for (values, said) in [
            (
                json!({ "gitlab": { "urll": "x" } }),
                "gitlab.urll: there is no such key; did you mean gitlab.url?",
            ),
            (
                json!({ "gitlabb": { "url": "x" } }),
                "gitlabb: there is no such section; did you mean gitlab?",
            ),
            (
                json!({ "mirror": { "pypi": { "url": "x" } } }),
                "mirror: there is no such section; did you mean mirrors?",
            ),
            (
                json!({ "mirrors": { "pypi": { "file_url": [] } } }),
                "mirrors.pypi.file_url: there is no such key; did you mean mirrors.pypi.file_urls?",
            ),
            (
                json!({ "token_file": "x" }),
                "token_file: there is no such key here; did you mean gitlab.token_file?",
            ),
            (
                json!({ "log": { "format": "jsn" } }),
                "log.format: it must be \"text\" or \"json\", not \"jsn\"; did you mean \"json\"?",
            ),
            (
                json!({ "frobnicate": true }),
                "frobnicate: there is no such key (config.example.toml has them all)",
            ),
        ] {
            assert_eq!(fault(values), said);
        }
    }

    #[test]
    fn a_wrong_kind_is_said_in_plain_words_and_not_repeated() {
        for (values, said) in [
            (
                json!({ "offline": "s3cret" }),
                "offline: it must be true or false, not a text",
            ),
            (
                json!({ "gitlab": { "retries": -1 } }),
                "gitlab.retries: it must be a whole number, 0 or more, not -1",
            ),
            (
                json!({ "gitlab": { "external_urls": "https://s3cret@x" } }),
                "gitlab.external_urls: it must be a list, not a text",
            ),
            (
                json!({ "gitlab": "https://s3cret@gitlab.example" }),
                "gitlab: this is a section: write [gitlab], and its keys below it",
            ),
            (
                json!({ "public_url": 7 }),
                "public_url: it must be a text in quotes, not 7",
            ),
        ] {
            let told = fault(values);
            assert_eq!(told, said);
        }
    }
}
