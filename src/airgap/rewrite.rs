//! The URLs in a lock file, swapped as text; everything else stays byte for byte. Pure.
//!
//! Owns where in a file of each format a URL stands. Whose URL one is, is the registry's knowledge.

use std::collections::BTreeMap;

use crate::airgap::lockfile::LockFormat;
use crate::registry::Swapped;

/// A lock file with other URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewrittenUrls {
    pub text: String,
    pub changed: usize,
    /// URLs that led where they should before.
    pub already: usize,
    /// How many URLs of which hosts were left alone.
    pub foreign: BTreeMap<String, usize>,
}

/// The form of a text that came without a name, as far as it decides where URLs stand: a list of
/// requirements, or values in quotes. Told by the first line that says something, because to read
/// the whole takes many times its size.
pub fn form_of(text: &str) -> LockFormat {
    let lines = text.trim_start_matches('\u{feff}').lines();
    for line in lines.map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let is_key = match line.split_once('=') {
            Some((key, value)) => {
                let key = key.trim_end();
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '"');
                !key.is_empty()
                    && !key.starts_with('-')
                    && key.chars().all(plain)
                    && !value.starts_with('=')
            }
            None => false,
        };
        return match line.chars().next() {
            Some('{') => LockFormat::Pipfile,
            Some('[') => LockFormat::Uv,
            _ if is_key => LockFormat::Uv,
            _ => LockFormat::Requirements,
        };
    }
    LockFormat::Requirements
}

/// Swaps each URL that is a whole value. `swap` says what becomes of one.
pub fn rewrite(
    kind: LockFormat,
    text: &str,
    swap: &mut dyn FnMut(&str) -> Swapped,
) -> RewrittenUrls {
    let mut done = RewrittenUrls::default();
    let mut rest = text;
    let mut before = None;
    while let Some(at) = next_url(rest) {
        let (head, tail) = rest.split_at(at);
        done.text.push_str(head);
        let last = head.chars().next_back().or(before);
        let end = tail.find(ends_url).unwrap_or(tail.len());
        let (url, after) = tail.split_at(end);
        let mut taken = url;
        if is_value(kind, last, after.chars().next()) {
            match swap(url) {
                Swapped::To(other) => {
                    done.text.push_str(&other);
                    done.changed += 1;
                    taken = "";
                }
                Swapped::Already => done.already += 1,
                Swapped::Foreign => *done.foreign.entry(host(url).to_owned()).or_default() += 1,
            }
        }
        done.text.push_str(taken);
        before = url.chars().next_back();
        rest = after;
    }
    done.text.push_str(rest);
    done
}

/// In one pass over the text, however many of its URLs are of the one scheme and none of the other.
fn next_url(text: &str) -> Option<usize> {
    let mut starts = text.match_indices("http").map(|(at, _)| at);
    starts.find(|at| begins_url(text.get(*at..).unwrap_or_default()))
}

fn begins_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || c.is_control() || r#""'\`<>{}|^"#.contains(c)
}

/// Whether a URL between these is a value of its own, and no part of a longer text.
fn is_value(kind: LockFormat, before: Option<char>, after: Option<char>) -> bool {
    match kind {
        LockFormat::Requirements => {
            // `-i`, which may have its value attached.
            before.is_none_or(|c| c.is_whitespace() || matches!(c, '=' | '@' | '"' | '\'' | 'i'))
        }
        _ => matches!(before, Some('"' | '\'')) && before == after,
    }
}

/// Host and port, without a user's name.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UV: &str = include_str!("../../tests/locks/uv.lock");
    const PYLOCK: &str = include_str!("../../tests/locks/pylock.uv.toml");
    const PIPFILE: &str = include_str!("../../tests/locks/Pipfile.lock");

    /// Swaps `A` for `B` at the beginning.
    fn prefix(from: &'static str, to: &'static str) -> impl FnMut(&str) -> Swapped {
        move |url| match url.strip_prefix(from) {
            Some(rest) => Swapped::To(format!("{to}{rest}")),
            None if url.starts_with(to) => Swapped::Already,
            None => Swapped::Foreign,
        }
    }

    #[test]
    fn a_text_without_a_name_has_the_form_that_its_first_line_says() {
        for text in [
            UV,
            PYLOCK,
            include_str!("../../tests/locks/poetry.lock"),
            include_str!("../../tests/locks/pdm.static.lock"),
            "[[package]]\n",
        ] {
            assert_eq!(form_of(text), LockFormat::Uv, "{text:.40}");
        }
        assert_eq!(form_of(PIPFILE), LockFormat::Pipfile);
        for text in [
            include_str!("../../tests/locks/requirements.txt"),
            "\u{feff}# x\n\nanvil==1.0 \\\n",
            "--index-url=https://index.example/simple/\n",
            "anvil>=1,<2\n",
            "https://index.example/c.whl\n",
            "",
        ] {
            assert_eq!(form_of(text), LockFormat::Requirements, "{text:.40}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_urls_takes_one_pass() {
        let text = "http://a \"".repeat(200_000);
        let begun = crate::values::clock::now();
        let done = rewrite(LockFormat::Requirements, &text, &mut |_| Swapped::Foreign);
        assert_eq!(done.text, text);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn only_urls_that_are_values_change() {
        let text = "# https://files.example/a\nx = \"see https://files.example/b\"\nurl = \"https://files.example/c\" # \"https://files.example/d\ngit = 'https://git.example/x'\n";
        let done = rewrite(
            LockFormat::Uv,
            text,
            &mut prefix("https://files.example", "http://localhost:1"),
        );
        assert_eq!(
            done.text,
            text.replace("\"https://files.example/c", "\"http://localhost:1/c")
        );
        assert_eq!(
            (done.changed, done.foreign.get("git.example")),
            (1, Some(&1))
        );
    }

    #[test]
    fn requirements_have_urls_after_options_and_names() {
        let text = "-ihttps://index.example/simple\n--index-url=https://index.example/simple\n--extra-index-url https://user:word@other.example/simple\n\
                    a @ https://index.example/a.whl ; os_name == 'nt'\nb @ git+https://index.example/b\nhttps://index.example/c.whl \\\n  --hash=sha256:00";
        let done = rewrite(
            LockFormat::Requirements,
            text,
            &mut prefix("https://index.example", "http://l"),
        );
        assert_eq!(done.changed, 4);
        assert_eq!(
            done.foreign,
            BTreeMap::from([("other.example".to_owned(), 1)]),
            "without the password"
        );
        assert!(
            done.text.contains("git+https://index.example/b")
                && done.text.ends_with("http://l/c.whl \\\n  --hash=sha256:00")
        );
    }

    #[test]
    fn a_real_lock_is_still_toml_and_differs_in_its_urls_only() {
        for (kind, text) in [(LockFormat::Uv, UV), (LockFormat::Pylock, PYLOCK)] {
            let done = rewrite(
                kind,
                text,
                &mut prefix("http://files.example/", "https://larder.example/pypi/"),
            );
            assert!(done.text.parse::<toml::Table>().is_ok());
            assert_eq!(
                done.text,
                text.replace("http://files.example/", "https://larder.example/pypi/")
            );
            assert_eq!(done.changed, text.matches("http://files.example/").count());
            assert_eq!(done.foreign.keys().collect::<Vec<_>>(), ["index.example"]);
            let back = rewrite(
                kind,
                &done.text,
                &mut prefix("https://larder.example/pypi/", "http://files.example/"),
            );
            assert_eq!(back.text, text);
        }
        let done = rewrite(
            LockFormat::Pipfile,
            PIPFILE,
            &mut prefix("http://index.example", "http://l"),
        );
        assert_eq!(
            (done.changed, done.text),
            (1, PIPFILE.replace("http://index.example", "http://l"))
        );
    }

    proptest! {
        #[test]
        fn nothing_but_urls_changes(text in "(\"|'|https://a.example/|http://b|x|=| |\n|é|\\\\){0,20}") {
            for kind in [LockFormat::Uv, LockFormat::Requirements] {
                let same = rewrite(kind, &text, &mut |url| Swapped::To(url.to_owned()));
                prop_assert_eq!(&same.text, &text);
                let there = rewrite(kind, &text, &mut prefix("https://a.example/", "http://house/"));
                let back = rewrite(kind, &there.text, &mut prefix("http://house/", "https://a.example/"));
                prop_assert_eq!(&back.text, &text);
                prop_assert_eq!(there.changed, back.changed);
            }
        }
    }
}
