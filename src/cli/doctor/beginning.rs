//! What the beginning of an index tells: an index may list half a million projects, and the doctor
//! needs only the first.
//!
//! Pure. Must not know where it came from.

use crate::simple::{Format, ProjectName};

/// The API's version, by the index's own word.
pub fn api_version(beginning: &[u8], format: Format) -> Option<String> {
    let text = String::from_utf8_lossy(beginning);
    let version = match format {
        Format::Json => member(&text, "\"api-version\"")?,
        Format::Html => {
            let element = after(&text, "pypi:repository-version")?;
            quoted(after(element, "content=")?)?
        }
    };
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if version.len() < 10 && version.bytes().all(is_plain) {
        Some(version.to_owned())
    } else {
        None
    }
}

/// The first project that is listed.
pub fn first_project(beginning: &[u8], format: Format) -> Option<ProjectName> {
    let text = String::from_utf8_lossy(beginning);
    let name = match format {
        Format::Json => {
            let listed = after(&text, "\"projects\"")?;
            member(listed, "\"name\"")?
        }
        Format::Html => {
            let anchor = after(&text, "<a ")?;
            let link = quoted(after(anchor, "href=")?)?;
            let link = link.split(['?', '#']).next()?;
            link.trim_end_matches('/').rsplit('/').next()?
        }
    };
    ProjectName::parse(name).ok()
}

fn after<'t>(text: &'t str, part: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(part)?;
    Some(rest)
}

/// The text of a JSON object's first member of this name.
fn member<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let value = after(text, key)?.trim_start().strip_prefix(':')?;
    quoted(value)
}

/// The text between the quotes that it begins with, if both are there.
fn quoted(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let quote = text.chars().next()?;
    if !matches!(quote, '"' | '\'') {
        return None;
    }
    let (inside, _) = text.get(1..)?.split_once(quote)?;
    Some(inside)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_formats_tell_their_version_and_first_project() {
        let json = br#"{"meta": {"_last-serial": 7, "api-version": "1.4"}, "projects": [{"_last-serial": 1, "name": "Six_x"}, {"na"#;
        let html = b"<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.1\"></head>\n<a class='x' href='/simple/six-x/'>Six</a><a hr";
        for (text, format, version) in [
            (&json[..], Format::Json, "1.4"),
            (&html[..], Format::Html, "1.1"),
        ] {
            assert_eq!(api_version(text, format).as_deref(), Some(version));
            assert_eq!(
                first_project(text, format)
                    .map(|name| name.to_string())
                    .as_deref(),
                Some("six-x")
            );
        }
        assert_eq!(first_project(b"{\"projects\": []}", Format::Json), None);
    }

    proptest! {
        #[test]
        fn any_beginning_is_only_a_beginning(bytes: Vec<u8>, cut in 0..130_usize) {
            for format in [Format::Html, Format::Json] {
                let _ = (api_version(&bytes, format), first_project(&bytes, format));
            }
            let json = r#"{"meta": {"api-version": "1.4"}, "projects": [{"name": "Six_x"}]}"#;
            let cut = cut.min(json.len());
            let told = first_project(&json.as_bytes()[..cut], Format::Json);
            prop_assert!(told.is_none_or(|name| name.to_string() == "six-x"));
        }
    }
}
