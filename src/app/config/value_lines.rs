//! On which line of a TOML file each value begins.
//!
//! Pure. Found by reading ever longer beginnings of the file: wherever one is whole by itself,
//! whatever is new in it was written on the lines since the last such place. That holds for every
//! form that TOML has, at the price of reading a file of n lines n times. Must not know any key.

use std::collections::BTreeMap;

/// Longer files have no lines to tell: reading them would take noticeable time.
const LINES_MAX: usize = 2_000;

/// By dotted key, from 1.
pub fn value_lines(text: &str) -> BTreeMap<String, usize> {
    let mut known = BTreeMap::new();
    if text.lines().count() > LINES_MAX {
        return known;
    }
    let mut beginning = String::with_capacity(text.len());
    let mut first_new = 1;
    for (index, line) in text.lines().enumerate() {
        beginning.push_str(line);
        beginning.push('\n');
        if line.trim().is_empty() && beginning.trim().is_empty() {
            first_new = index + 2;
            continue;
        }
        let Ok(whole) = beginning.parse::<toml::Table>() else {
            continue;
        };
        note("", &whole, first_new, &mut known);
        first_new = index + 2;
    }
    known
}

fn note(above: &str, table: &toml::Table, line: usize, known: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let key = if above.is_empty() {
            key.clone()
        } else {
            format!("{above}.{key}")
        };
        if let toml::Value::Table(below) = value {
            note(&key, below, line, known);
        }
        known.entry(key).or_insert(line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_value_has_its_line() {
        let text = "# a comment\nlisten = \"x\"\n\n[gitlab]\nurl = \"\"\"\nretries = 9\n\"\"\"\nobject_storage_origins = [\n  \"a\", # b\n]\n\
                    idle.a = 1\n[mirrors.'p y']\nurl = 'u'\nlog = { level = \"x\", format = 'y' }\n";
        let lines = value_lines(text);
        for (key, line) in [
            ("listen", 2),
            ("gitlab", 4),
            ("gitlab.url", 5),
            ("gitlab.object_storage_origins", 8),
            ("gitlab.idle.a", 11),
            ("mirrors.p y.url", 13),
            ("mirrors.p y.log.format", 14),
        ] {
            assert_eq!(lines.get(key), Some(&line), "{key}");
        }
        assert_eq!(lines.get("gitlab.retries"), None, "it stands in a text");
    }

    proptest! {
        #[test]
        fn whatever_is_not_toml_does_no_harm(text in ".{0,200}") {
            let _ = value_lines(&text);
        }

        #[test]
        fn a_keys_line_is_where_it_was_put(blank in 0..20_usize, keys in 1..20_usize) {
            let mut text = "\n".repeat(blank);
            for key in 0..keys {
                text.push_str(&format!("k{key} = {key}\n"));
            }
            let lines = value_lines(&text);
            for key in 0..keys {
                prop_assert_eq!(lines.get(&format!("k{key}")), Some(&(blank + key + 1)));
            }
        }
    }
}
