//! Conditional requests: what the client already has (RFC 9110 §13).
//!
//! Pure. Only entity tags: larder's answers carry no dates to compare. Must not know what is behind a tag.

use http::HeaderMap;
use http::header::{HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::values::byte_range::ByteRange;

/// Whether `If-None-Match` names this tag: weak comparison, a list, or `*` (§13.1.2).
pub(super) fn not_modified(headers: &HeaderMap, etag: &[u8]) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|list| names(list, etag))
}

fn names(list: &HeaderValue, etag: &[u8]) -> bool {
    let Ok(list) = list.to_str() else {
        return false;
    };
    list.trim() == "*"
        || list
            .split(',')
            .any(|tag| opaque(tag.trim()).as_bytes() == etag)
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The range to serve: `Range`, unless `If-Range` names something else than this strong tag (§13.1.5).
pub(super) fn range(headers: &HeaderMap, etag: &[u8]) -> Option<ByteRange> {
    let mut fields = headers.get_all(RANGE).iter();
    let range = ByteRange::parse(fields.next()?.to_str().ok()?)?;
    if fields.next().is_some() {
        return None;
    }
    let stands = headers
        .get(IF_RANGE)
        .is_none_or(|wanted| wanted.as_bytes() == etag);
    stands.then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &[u8] = b"\"abc\"";

    fn headers(pairs: &[(http::header::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_tag_is_found_in_every_spelling_of_the_list() {
        for list in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*", " \"abc\" "] {
            assert!(
                not_modified(&headers(&[(IF_NONE_MATCH, list)]), ETAG),
                "{list}"
            );
        }
        for list in ["abc", "\"abcd\"", "W/\"ab\"", ""] {
            assert!(
                !not_modified(&headers(&[(IF_NONE_MATCH, list)]), ETAG),
                "{list}"
            );
        }
        assert!(!not_modified(&HeaderMap::new(), ETAG));
    }

    #[test]
    fn if_range_with_anything_but_the_strong_tag_means_the_whole() {
        let with = |if_range| {
            range(
                &headers(&[(RANGE, "bytes=1-2"), (IF_RANGE, if_range)]),
                ETAG,
            )
        };
        assert!(with("\"abc\"").is_some());
        for other in ["W/\"abc\"", "\"abd\"", "Tue, 02 Jan 2024 03:04:05 GMT"] {
            assert_eq!(with(other), None, "{other}");
        }
        assert!(range(&headers(&[(RANGE, "bytes=1-2")]), ETAG).is_some());
        assert_eq!(range(&headers(&[(RANGE, "bytes=1-2,5-6")]), ETAG), None);
    }
}
