//! A reader of logfmt, as strict as the encoders of other languages are: `key=value` with one blank
//! between two pairs, quotes where a value needs them, and within them the escapes of JSON.

use std::collections::BTreeMap;

/// The pairs of a line. `Err` says where it stops being logfmt.
pub fn read(line: &str) -> Result<BTreeMap<String, String>, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = line;
    loop {
        let fault = |why: &str| format!("{why} at {rest:.60?}");
        let (key, value) = rest.split_once('=').ok_or_else(|| fault("a key alone"))?;
        let is_key = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if key.is_empty() || !key.chars().all(is_key) {
            return Err(fault("no key"));
        }
        let end = if value.starts_with('"') {
            end_of_quoted(value).ok_or_else(|| fault("quotes without an end"))?
        } else {
            value.find(' ').unwrap_or(value.len())
        };
        let (value, after) = value.split_at(end);
        let value = match value.starts_with('"') {
            true => serde_json::from_str(value).map_err(|_| fault("an escape that is none"))?,
            false if value.contains(['"', '=']) || value.is_empty() => {
                return Err(fault("a value that needs quotes"));
            }
            false => value.to_owned(),
        };
        if pairs.insert(key.to_owned(), value).is_some() {
            return Err(fault("a key that was there before"));
        }
        match after.strip_prefix(' ') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(pairs),
            None => return Err(fault("no blank behind a value")),
        }
    }
}

/// Just behind the closing quotes.
fn end_of_quoted(value: &str) -> Option<usize> {
    let mut is_escape = false;
    for (at, letter) in value.char_indices().skip(1) {
        match letter {
            _ if is_escape => is_escape = false,
            '\\' => is_escape = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[test]
fn it_reads_what_is_logfmt_and_nothing_else() {
    let pairs = read("a=1 b=\"two \\\"words\\\" \\u001b\" c=ä\\u").expect("logfmt");
    assert_eq!(pairs["b"], "two \"words\" \u{1b}");
    assert_eq!((pairs["a"].as_str(), pairs["c"].as_str()), ("1", "ä\\u"));
    for other in [
        "",
        "word",
        "a=1 word",
        "a=\"open",
        "a=\"x\"b=1",
        "a=1=2",
        "a=\"\\u{1b}\"",
        "a=1  b=2",
        "a=1 a=2",
        "a= b=1",
    ] {
        assert!(read(other).is_err(), "{other}");
    }
}
