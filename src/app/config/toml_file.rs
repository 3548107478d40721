//! The configuration's file as a layer.
//!
//! Owns what is said of a file that is no TOML: the line, the column and what was expected there,
//! never the text itself, which may hold a password. Must not know any key.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider, Source};

use super::default_file::NO_FILE;

/// A file that was read.
pub struct TomlFile {
    path: PathBuf,
    table: toml::Table,
}

impl TomlFile {
    /// # Errors
    /// That there is no such file, that it cannot be read, or where it stops being TOML.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        if path == Path::new(NO_FILE) {
            return Ok(Self {
                path: path.to_owned(),
                table: toml::Table::new(),
            });
        }
        match path.metadata() {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(format!("{shown}: it is no file")),
            Err(why) if why.kind() == ErrorKind::NotFound => {
                return Err(format!("{shown}: there is no such file"));
            }
            Err(why) => return Err(format!("{shown}: {why}")),
        }
        #[expect(clippy::disallowed_methods, reason = "the configuration's own file")]
        let text = std::fs::read_to_string(path).map_err(|why| format!("{shown}: {why}"))?;
        let table = parse(&text).map_err(|why| format!("{shown}: {why}"))?;
        Ok(Self {
            path: path.to_owned(),
            table,
        })
    }
}

impl Provider for TomlFile {
    fn metadata(&self) -> Metadata {
        Metadata::from("TOML file", Source::File(self.path.clone()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let values = Value::serialize(&self.table)?
            .into_dict()
            .unwrap_or_default();
        Ok(Profile::Default.collect(values))
    }
}

/// A byte order mark, which some editors write, is no part of the text.
fn parse(text: &str) -> Result<toml::Table, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let why: toml::de::Error = match text.parse() {
        Ok(table) => return Ok(table),
        Err(why) => why,
    };
    let start = why.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let (_, last) = before.rsplit_once('\n').unwrap_or(("", before));
    let column = last.chars().count() + 1;
    let expected: Vec<&str> = why.message().lines().map(str::trim).collect();
    let expected = expected.join(", ");
    Err(format!(
        "line {line}, column {column}: this is not TOML: {expected}"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fault_has_a_place_and_quotes_nothing() {
        for (text, place) in [
            (
                "listen = 'x'\n[gitlab]\npassword = hunter2\n",
                "line 3, column 12: ",
            ),
            ("token = \"hunter2\n", "line 1, "),
            ("hunter2\n", "line 1, "),
            ("a = 'ü' hunter2\n", "line 1, column 9: "),
            ("a = 1\na = 'hunter2'\n", "line 2, "),
            ("a = [1, hunter2", "line 1, "),
        ] {
            let why = parse(text).err().unwrap_or_default();
            assert!(
                why.starts_with(place) && !why.contains("hunter2") && !why.contains('\n'),
                "{text}: {why}"
            );
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(parse("\u{feff}a = 1"), parse("a = 1"));
    }

    proptest! {
        #[test]
        fn a_value_that_is_no_toml_is_never_quoted(secret in "[a-z]{8,20}[0-9]{4}[a-z]{8}") {
            prop_assume!(!["true", "false"].contains(&secret.as_str()));
            let why = parse(&format!("key = {secret}")).err().unwrap_or_default();
            prop_assert!(!why.is_empty() && !why.contains(&secret), "{}", why);
        }
    }
}
