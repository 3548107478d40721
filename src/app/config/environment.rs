//! The environment as a layer of the configuration: `LARDER_SECTION__KEY`, two underscores between
//! levels.
//!
//! Owns which variable means which key, and what its text becomes: a key that holds text takes the
//! text as it is, quotes, blanks and leading zeros included; a list is written as in TOML, or as
//! its only element. Names that Kubernetes makes for a Service called larder, and names of no key,
//! are passed over and remarked on; a name that is one slip away from a key is a fault.
//! Reading is pure. Must not know what a key is for.

use std::collections::BTreeSet;

use figment::value::{Dict, Map, Value as Layered};
use figment::{Error, Metadata, Profile, Provider};
use serde_json::{Map as Object, Value};

use super::dotted::flatten;
use super::renamed::new_name;

/// What all names begin with.
const PREFIX: &str = "LARDER_";

/// No keys: for the build (`version.rs`), which may still be there when what was built is run; and
/// the file of the keys (`default_file.rs`).
const NO_KEYS: [&str; 2] = ["COMMIT", "CONFIG"];

/// What the environment says of the configuration.
#[derive(Debug, Default)]
pub struct Environment {
    values: Value,
    /// Each a sentence that names its variable.
    pub faults: Vec<String>,
    /// What was passed over, each a sentence.
    pub remarks: Vec<String>,
}

impl Environment {
    pub fn of_process(keys: &Keys) -> Self {
        let text = |word: std::ffi::OsString| word.to_string_lossy().into_owned();
        let variables =
            std::env::vars_os().map(|(name, value)| (text(name), value.into_string().ok()));
        Self::read(variables, keys)
    }

    /// A value of `None` is no UTF-8.
    pub fn read(variables: impl Iterator<Item = (String, Option<String>)>, keys: &Keys) -> Self {
        let mut environment = Self {
            values: Value::Object(Object::new()),
            ..Self::default()
        };
        let mut service_links = BTreeSet::new();
        for (variable, value) in variables {
            let Some(name) = name_of(&variable) else {
                continue;
            };
            let lower = name.to_ascii_lowercase();
            let key: Vec<String> = lower.split("__").map(str::to_owned).collect();
            if keys.find(&key).is_none() && is_service_link(name) {
                service_links.insert(variable);
            } else {
                environment.take(&variable, &key, value, keys);
            }
        }
        if !service_links.is_empty() {
            let names = Vec::from_iter(service_links).join(", ");
            environment.remarks.push(format!(
                "{names} are passed over: \
                 Kubernetes makes them for a Service whose name begins with larder"
            ));
        }
        environment
    }

    fn take(&mut self, variable: &str, key: &[String], value: Option<String>, keys: &Keys) {
        if key.len() > 1
            && let Some(new) = new_name(key)
        {
            let new = variable_of(&new);
            self.faults
                .push(format!("{variable}: this variable is called {new} now"));
            return;
        }
        match (keys.find(key), value) {
            (Some(Value::Object(_)), _) => self.remarks.push(format!(
                "{variable} is passed over: it names a section, \
                 and a variable sets one key, as {PREFIX}GITLAB__URL does"
            )),
            (Some(_), None) => self
                .faults
                .push(format!("{variable}: its value is not UTF-8")),
            (Some(like), Some(text)) => put(&mut self.values, key, converted(&text, like)),
            (None, _) => match keys.nearest(key) {
                Some(meant) => {
                    let key = key.join(".");
                    let meant = variable_of(&meant);
                    self.faults.push(format!(
                        "{variable}: there is no key {key}; did you mean {meant}?"
                    ));
                }
                None => self
                    .remarks
                    .push(format!("{variable} is passed over: there is no such key")),
            },
        }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment variables")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let values = Layered::serialize(&self.values)?
            .into_dict()
            .unwrap_or_default();
        Ok(Profile::Default.collect(values))
    }
}

/// The variable by which a key is set.
pub fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// What follows the prefix, if the variable is for larder.
fn name_of(variable: &str) -> Option<&str> {
    let (prefix, name) = variable.split_at_checked(PREFIX.len())?;
    let is_no_key = NO_KEYS.iter().any(|word| name.eq_ignore_ascii_case(word));
    if !prefix.eq_ignore_ascii_case(PREFIX) || is_no_key {
        return None;
    }
    Some(name)
}

/// Whether Kubernetes makes this name, without the prefix, for the containers of a pod beside a
/// Service whose name begins with `larder`: `…SERVICE_HOST`, `…SERVICE_PORT[_NAME]`, `…PORT`, and
/// `…PORT_3141_TCP[_ADDR|_PORT|_PROTO]`, as Docker's links had them (Kubernetes, "Discovering
/// services", environment variables).
fn is_service_link(name: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_protocol = |part: &str| ["TCP", "UDP", "SCTP"].contains(&part);
    let of_service = |pair: &[&str]| matches!(pair, ["SERVICE", "HOST" | "PORT"]);
    match parts.as_slice() {
        [.., "PORT"] => true,
        [.., "PORT", number, protocol] | [.., "PORT", number, protocol, "ADDR" | "PROTO"]
            if is_number(number) && is_protocol(protocol) =>
        {
            true
        }
        parts => parts.windows(2).any(of_service),
    }
}

/// The keys that there are.
pub struct Keys {
    /// A configuration that has every one.
    pub shape: Value,
    /// A section below `mirrors`.
    pub entry: Value,
}

impl Keys {
    /// A value of the kind that the key takes; an object for a section.
    pub fn find(&self, key: &[String]) -> Option<&Value> {
        let (mut at, rest) = match key {
            [mirrors, _, rest @ ..] if mirrors == "mirrors" => (&self.entry, rest),
            rest => (&self.shape, rest),
        };
        for part in rest {
            at = at.get(part)?;
        }
        Some(at)
    }

    /// The dotted key that was meant, if one slip of the pen explains the name.
    fn nearest(&self, key: &[String]) -> Option<String> {
        let mut all = Vec::new();
        flatten("", &self.shape, &mut all);
        if let [_, name, _, ..] = key {
            flatten(&format!("mirrors.{name}"), &self.entry, &mut all);
        }
        let written = key.join("__");
        let mut names = all.into_iter().map(|(meant, _)| meant);
        names.find(|meant| is_one_slip(&written, &meant.replace('.', "__")))
    }
}

/// Whether one letter too many, too few, wrong, or two in the wrong order make the one of the
/// other.
fn is_one_slip(written: &str, meant: &str) -> bool {
    let mut one = written.as_bytes();
    let mut other = meant.as_bytes();
    while let ([a, rest @ ..], [b, others @ ..]) = (one, other)
        && a == b
    {
        one = rest;
        other = others;
    }
    match (one, other) {
        ([], []) => true,
        ([_, one @ ..], other) if one == other => true,
        (one, [_, other @ ..]) if one == other => true,
        ([_, one @ ..], [_, other @ ..]) if one == other => true,
        ([a, b, one @ ..], [c, d, other @ ..]) => a == d && b == c && one == other,
        _ => false,
    }
}

/// The text as a value of the same kind as another. What cannot be one stays text, and is refused
/// where its key is known.
fn converted(text: &str, like: &Value) -> Value {
    let plain = Value::from(text);
    match like {
        Value::Bool(_) => text.trim().parse().map_or(plain, Value::Bool),
        Value::Number(_) => text.trim().parse::<i64>().map_or(plain, Value::from),
        Value::Array(_) => list(text).unwrap_or_else(|| Value::Array(vec![plain])),
        _ => plain,
    }
}

/// A list as TOML writes it.
fn list(text: &str) -> Option<Value> {
    let document: toml::Table = format!("list = {text}").parse().ok()?;
    let list = document.get("list").filter(|list| list.is_array())?;
    serde_json::to_value(list).ok()
}

fn put(at: &mut Value, key: &[String], value: Value) {
    let mut at = at;
    for part in key {
        if !at.is_object() {
            *at = Value::Object(Object::new());
        }
        at = &mut at[part.as_str()];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        let shape = json!({
            "listen": [], "offline": false, "cache_dir": "", "cache_size": "20GiB", "mirrors": {},
            "gitlab": { "url": "", "retries": 2, "external_urls": [] },
        });
        let entry = json!({ "url": "", "files": [], "username": "" });
        let variables = variables
            .iter()
            .map(|&(name, value)| (name.to_owned(), Some(value.to_owned())));
        Environment::read(variables, &Keys { shape, entry })
    }

    #[test]
    fn a_text_stays_as_it_is() {
        for text in [
            "007",
            ".5",
            "true",
            "1e5",
            "\"quoted\"",
            " blanks ",
            "[1]",
            "{a=1}",
            "",
            "'",
            "#",
            "ä",
        ] {
            let found = read(&[
                ("LARDER_MIRRORS__PYPI__USERNAME", text),
                ("LARDER_CACHE_DIR", text),
            ]);
            assert_eq!(
                found.values,
                json!({"mirrors": {"pypi": {"username": text}}, "cache_dir": text})
            );
            assert!(
                found.faults.is_empty() && found.remarks.is_empty(),
                "{found:?}"
            );
        }
    }

    #[test]
    fn other_kinds_are_read_as_what_they_are() {
        let found = read(&[
            ("LARDER_OFFLINE", "true"),
            ("LARDER_GITLAB__RETRIES", " 1"),
            (
                "LARDER_GITLAB__EXTERNAL_URLS",
                "[\"https://a.example\", 'https://b.example']",
            ),
            ("LARDER_LISTEN", "[::1]:3141"),
            ("HOME", "/home"),
            ("LARDER_COMMIT", "0123abc"),
        ]);
        assert_eq!(
            found.values,
            json!({
                "offline": true,
                "listen": ["[::1]:3141"],
                "gitlab": { "retries": 1, "external_urls": ["https://a.example", "https://b.example"] },
            })
        );
        let wrong = read(&[
            ("LARDER_OFFLINE", "yes"),
            ("LARDER_GITLAB__RETRIES", "many"),
        ]);
        assert_eq!(
            wrong.values,
            json!({"offline": "yes", "gitlab": {"retries": "many"}})
        );
    }

    #[test]
    fn names_that_kubernetes_makes_are_passed_over_in_one_remark() {
        let found = read(&[
            ("LARDER_PORT", "tcp://10.0.0.1:3141"),
            ("LARDER_SERVICE_HOST", "10.0.0.1"),
            ("LARDER_SERVICE_PORT", "3141"),
            ("LARDER_SERVICE_PORT_HTTP", "3141"),
            ("LARDER_PORT_3141_TCP", "tcp://10.0.0.1:3141"),
            ("LARDER_PORT_3141_TCP_ADDR", "10.0.0.1"),
            ("LARDER_PORT_3141_TCP_PORT", "3141"),
            ("LARDER_PORT_3141_TCP_PROTO", "tcp"),
            ("LARDER_METRICS_SERVICE_HOST", "10.0.0.2"),
            ("LARDER_METRICS_PORT_9000_TCP_ADDR", "10.0.0.2"),
        ]);
        assert_eq!(
            (found.faults.len(), found.remarks.len()),
            (0, 1),
            "{found:?}"
        );
        assert!(
            found.remarks[0].contains("LARDER_PORT_3141_TCP_ADDR")
                && found.remarks[0].contains("Kubernetes")
        );
        assert_eq!(found.values, json!({}));
    }

    #[test]
    fn a_slip_is_a_fault_that_names_the_key_and_a_stranger_is_a_remark() {
        for (slip, meant) in [
            ("LARDER_LISEN", "LARDER_LISTEN"),
            ("LARDER_LSITEN", "LARDER_LISTEN"),
            ("LARDER_LISTENN", "LARDER_LISTEN"),
            ("LARDER_GITLAB__URI", "LARDER_GITLAB__URL"),
            ("LARDER_GITLAB_URL", "LARDER_GITLAB__URL"),
            ("LARDER_MIRRORS__PYPI__URLL", "LARDER_MIRRORS__PYPI__URL"),
        ] {
            let found = read(&[(slip, "x")]);
            assert!(
                found
                    .faults
                    .iter()
                    .any(|fault| fault.ends_with(&format!("did you mean {meant}?"))),
                "{found:?}"
            );
        }
        for stranger in [
            "LARDER_VERSION",
            "LARDER_IMAGE_TAG",
            "LARDER_GITLAB",
            "LARDER_MIRRORS__PYPI",
            "LARDER_",
        ] {
            let found = read(&[(stranger, "x")]);
            assert_eq!(
                (found.faults.len(), found.remarks.len()),
                (0, 1),
                "{stranger}: {found:?}"
            );
        }
    }

    #[test]
    fn a_variable_is_named_as_it_is_set() {
        assert_eq!(variable_of("gitlab.url"), "LARDER_GITLAB__URL");
        assert_eq!(variable_of("listen"), "LARDER_LISTEN");
        assert_eq!(variable_of("mirrors.pypi.ttl"), "LARDER_MIRRORS__PYPI__TTL");
    }

    proptest! {
        #[test]
        fn no_name_and_no_value_is_too_strange(name in "LARDER_[A-Z_]{0,12}", value in ".{0,40}") {
            let found = read(&[(&name, &value)]);
            prop_assert!(found.faults.len() + found.remarks.len() <= 1);
        }

        #[test]
        fn one_slip_is_an_edit_and_two_are_none(word in "[a-f]{6,12}", at in 0..5_usize) {
            let without = format!("{}{}", &word[..at], &word[at + 1..]);
            prop_assert!(is_one_slip(&without, &word) && is_one_slip(&word, &without));
            let other = format!("{}xyz{}", &word[..at], &word[at..]);
            prop_assert!(!is_one_slip(&other, &word));
        }
    }
}
