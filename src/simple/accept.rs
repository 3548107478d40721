//! Which of our types a client gets (PEP 691, "Version + Format Selection"; RFC 9110, section
//! 12.5.1).
//!
//! Owns the reading of `Accept` and the choice. Must not know what the source of a page has: every
//! page can be had in each type.

use super::format::{MediaType, TEXT_HTML, V1_HTML, V1_JSON};
use crate::values::quality_list::{Quality, members};

const LATEST_HTML: &str = "application/vnd.pypi.simple.latest+html";
const LATEST_JSON: &str = "application/vnd.pypi.simple.latest+json";

/// How exactly a range names a type; of several that match, the most exact decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    Anything,
    Family,
    Named,
}

/// The type to answer with, from the values of all `Accept` fields. `None` when nothing fits (406).
///
/// The client's highest quality wins. Among equals a type that is named comes before one that only
/// a wildcard covers; among named ones JSON is first, among the others `text/html`, so that `*/*`
/// and no wish at all mean what they meant before there was a choice.
pub fn negotiate<'a>(accept: impl IntoIterator<Item = &'a str>) -> Option<MediaType> {
    let mut fields: Vec<&str> = accept.into_iter().collect();
    fields.retain(|field| !field.trim_ascii().is_empty());
    if fields.is_empty() {
        return Some(MediaType::TextHtml);
    }
    let ranges: Vec<(&str, Quality)> = members(fields).collect();
    let mut best = None;
    // In the order of preference among wildcards: of equals the last is kept.
    for (media, rank) in [
        (MediaType::V1Json, 2),
        (MediaType::V1Html, 1),
        (MediaType::TextHtml, 0),
    ] {
        let Some((exactness, quality)) = weight(media, &ranges) else {
            continue;
        };
        let named = exactness == Exactness::Named;
        let key = (quality, named, if named { rank } else { 0 });
        if quality > 0 && best.is_none_or(|(known, _)| key >= known) {
            best = Some((key, media));
        }
    }
    best.map(|(_, media)| media)
}

/// What the client thinks of a type: the weight of the most exact range, of equals the highest.
fn weight(media: MediaType, ranges: &[(&str, Quality)]) -> Option<(Exactness, Quality)> {
    let mut best = None;
    for &(range, quality) in ranges {
        if let Some(exactness) = exactness(range, media) {
            best = best.max(Some((exactness, quality)));
        }
    }
    best
}

fn exactness(range: &str, media: MediaType) -> Option<Exactness> {
    let (names, family): (&[&str], _) = match media {
        MediaType::TextHtml => (&[TEXT_HTML], "text/*"),
        MediaType::V1Html => (&[V1_HTML, LATEST_HTML], "application/*"),
        MediaType::V1Json => (&[V1_JSON, LATEST_JSON], "application/*"),
    };
    if range == "*/*" {
        Some(Exactness::Anything)
    } else if names.iter().any(|name| range.eq_ignore_ascii_case(name)) {
        Some(Exactness::Named)
    } else if range.eq_ignore_ascii_case(family) {
        Some(Exactness::Family)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JSON: Option<MediaType> = Some(MediaType::V1Json);
    const HTML: Option<MediaType> = Some(MediaType::V1Html);
    const TEXT: Option<MediaType> = Some(MediaType::TextHtml);

    #[test]
    fn every_client_gets_its_type() {
        let pip = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01";
        let uv = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
        let table = [
            ("pip, pdm, pipenv", pip, JSON),
            ("uv", uv, JSON),
            (
                "poetry",
                "application/vnd.pypi.simple.v1+json, */*;q=0.1",
                JSON,
            ),
            ("hatch, curl", "*/*", TEXT),
            ("pip older than 22.2", "text/html", TEXT),
            (
                "browser",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
                TEXT,
            ),
            (
                "pypi-simple, HTML wanted",
                "application/vnd.pypi.simple.v1+html, text/html;q=0.01",
                HTML,
            ),
        ];
        for (client, accept, media) in table {
            assert_eq!(negotiate([accept]), media, "{client}");
        }
    }

    #[test]
    fn ranges_are_weighed() {
        let table: [(&[&str], Option<MediaType>); 24] = [
            (&[], TEXT),
            (&[""], TEXT),
            (&["", "application/vnd.pypi.simple.v1+json"], JSON),
            (&["application/vnd.pypi.simple.latest+json"], JSON),
            (&["Application/vnd.PyPI.simple.LATEST+html;Q=0.5"], HTML),
            (&["application/vnd.pypi.simple.v2+json"], None),
            (
                &["application/vnd.pypi.simple.v2+json, application/vnd.pypi.simple.v1+html"],
                HTML,
            ),
            (&["application/json"], None),
            (&["image/png", "text/plain"], None),
            (&["text/html;q=0"], None),
            (&["text/html;q=0, */*"], HTML),
            (
                &["application/vnd.pypi.simple.v1+json;q=0, */*;q=0.1"],
                TEXT,
            ),
            (
                &["application/vnd.pypi.simple.v1+json;q=0, application/*"],
                HTML,
            ),
            (&["*/*;q=0"], None),
            (&["application/*"], HTML),
            (&["text/*"], TEXT),
            (&["text/*;q=0.1, */*;q=0.9"], HTML),
            (&["text/html, application/vnd.pypi.simple.v1+json"], JSON),
            (
                &[
                    "text/html;q=0.9",
                    "application/vnd.pypi.simple.v1+json;q=0.800",
                ],
                TEXT,
            ),
            (&["text/html, */*"], TEXT),
            (
                &["application/vnd.pypi.simple.v1+json;charset=utf-8;q=0.3, text/html;q=0.2"],
                JSON,
            ),
            (&["text/html;q=1.1"], None),
            (&["text/html;q=0.0001, text/html;q=x"], None),
            (&[", ,;q=1"], None),
        ];
        for (accept, media) in table {
            assert_eq!(negotiate(accept.iter().copied()), media, "{accept:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(fields in prop::collection::vec("[a-z*/;q=.0-9, é+]{0,40}", 0..4)) {
            let _ = negotiate(fields.iter().map(String::as_str));
        }

        #[test]
        fn a_type_with_quality_nought_is_never_given(q in 0..=1000_u16) {
            let accept = format!("application/vnd.pypi.simple.v1+json;q=0, text/html;q={}.{:03}", q / 1000, q % 1000);
            prop_assert_eq!(negotiate([accept.as_str()]), (q > 0).then_some(MediaType::TextHtml));
        }
    }
}
