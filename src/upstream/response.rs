//! An answer from upstream, and what of it may go on.
//!
//! Owns the allow-list of fields that cross to the client (RFC 9110 §7.6.1: everything hop-by-hop
//! stays, and so does whatever we do not know), validators, and `Content-Range`. Must not know
//! which request it answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AGE, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, LAST_MODIFIED, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;

use super::body::{BodyError, IdleBody};
use super::error::UpstreamError;
use super::peer::Peer;
use crate::values::byte_range::{ByteRange, Extent};
use crate::values::cache_status::{CacheStatus, Outcome};

/// A head and a body still to be read.
#[derive(Debug)]
pub struct UpstreamResponse {
    pub status: StatusCode,
    /// In the status line, if it is not the usual one.
    pub reason: Option<ReasonPhrase>,
    pub headers: HeaderMap,
    pub body: IdleBody,
    /// Who gave it, if that is a parent.
    pub parent: Option<Peer>,
}

impl UpstreamResponse {
    /// An answer for the whole file, of its end that is here, and of `beginning`: a 206 for all
    /// that comes before.
    pub fn assembled(
        beginning: Option<Self>,
        mut headers: HeaderMap,
        end: Bytes,
        whole: u64,
    ) -> Self {
        headers.remove(CONTENT_RANGE);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(whole));
        let missing = whole.saturating_sub(end.len() as u64);
        let mut parent = None;
        let body = match beginning {
            Some(beginning) => {
                parent = beginning.parent;
                beginning.body.followed_by(missing, end)
            }
            None => IdleBody::of(end),
        };
        Self {
            status: StatusCode::OK,
            reason: None,
            headers,
            body,
            parent,
        }
    }

    pub(super) fn location(&self) -> &str {
        self.headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The length that is announced for the body.
    pub fn length(&self) -> Option<u64> {
        let digits = self.headers.get(CONTENT_LENGTH)?.to_str().ok()?;
        digits.parse().ok()
    }

    /// Whether a larder gave it (RFC 9211 §2: each cache adds its own member, the last one is the
    /// nearest).
    pub fn is_of_larder(&self) -> bool {
        self.cache_status().is_some()
    }

    /// How long ago what a larder gave was confirmed, if it says that it could not ask. Other
    /// caches' `Age` says nothing here: what an index allows them is its own affair.
    pub fn stale_age(&self) -> Duration {
        let is_stale = match self.cache_status() {
            Some(status) => matches!(status.outcome, Outcome::Stale | Outcome::Updating),
            None => false,
        };
        if !is_stale {
            return Duration::ZERO;
        }
        let age = self.headers.get(AGE).and_then(|age| age.to_str().ok());
        let seconds = age.and_then(|age| age.parse().ok());
        Duration::from_secs(seconds.unwrap_or_default())
    }

    fn cache_status(&self) -> Option<CacheStatus> {
        let field = self.headers.get_all("cache-status").iter().next_back()?;
        CacheStatus::read(field.to_str().ok()?)
    }

    /// Whether the body is labelled as coded (RFC 9110 §8.4), though it was not asked for. What
    /// object stores keep of an upload's own framing says nothing: an empty field, and
    /// `aws-chunked`.
    pub fn is_coded(&self) -> bool {
        let codings = self.headers.get_all(CONTENT_ENCODING).iter();
        codings
            .flat_map(|list| list.as_bytes().split(|b| *b == b','))
            .map(<[u8]>::trim_ascii)
            .any(|coding| {
                !coding.is_empty()
                    && !coding.eq_ignore_ascii_case(b"identity")
                    && !coding.eq_ignore_ascii_case(b"aws-chunked")
            })
    }

    /// For where nothing tells whether a label is true.
    ///
    /// # Errors
    /// When it has one.
    pub fn uncoded(self) -> Result<Self, UpstreamError> {
        if self.is_coded() {
            return Err(UpstreamError::Unusable(
                "upstream sent the file in an encoding that was not asked for",
            ));
        }
        Ok(self)
    }

    /// As it may go on, read to its end.
    pub(super) async fn pass_through(self, bytes_max: usize) -> Result<PassThrough, BodyError> {
        let headers = passed(&self.headers);
        let body = self.body.collect(bytes_max).await?;
        Ok(PassThrough {
            status: self.status,
            reason: self.reason,
            headers,
            body,
        })
    }
}

/// An answer of GitLab's that goes on as it is: refusals, and what it says of uploads.
#[derive(Clone, Debug)]
pub struct PassThrough {
    pub status: StatusCode,
    /// All that some clients show.
    pub reason: Option<ReasonPhrase>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl PassThrough {
    /// Whether nothing is said but to come back later (RFC 6585 §4).
    pub fn asks_for_a_pause(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// Whether it asks something of the caller: a credential, or to come back later.
    pub fn is_for_caller(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED || self.asks_for_a_pause()
    }

    /// Whether GitLab says that there is no such package, to a caller that may see the project or
    /// group: another is told that there is no such project or group.
    pub fn says_no_package(&self) -> bool {
        let says = b"404 Package Not Found";
        let mut parts = self.body.windows(says.len());
        self.status == StatusCode::NOT_FOUND && parts.any(|part| part == says)
    }
}

/// Fields of GitLab's that go on to the client, besides those whose names begin with
/// [`PASSED_PREFIXES`].
const PASSED: [HeaderName; 13] = [
    CONTENT_TYPE,
    WWW_AUTHENTICATE,
    RETRY_AFTER,
    LOCATION,
    ALLOW,
    CACHE_CONTROL,
    HeaderName::from_static("content-disposition"),
    HeaderName::from_static("content-language"),
    HeaderName::from_static("x-content-type-options"),
    HeaderName::from_static("x-frame-options"),
    HeaderName::from_static("deprecation"),
    HeaderName::from_static("sunset"),
    HeaderName::from_static("link"),
];

const PASSED_PREFIXES: [&str; 2] = ["ratelimit-", "x-gitlab-"];

/// The fields of `headers` that may go on.
fn passed(headers: &HeaderMap) -> HeaderMap {
    let named_by_connection: Vec<String> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let goes_on = |name: &HeaderName| {
        let known = PASSED.contains(name)
            || PASSED_PREFIXES
                .iter()
                .any(|prefix| name.as_str().starts_with(prefix));
        known && !named_by_connection.iter().any(|hop| hop == name.as_str())
    };
    headers
        .iter()
        .filter(|(name, _)| goes_on(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The fields that say when to come back.
pub(super) fn throttling(headers: &HeaderMap) -> HeaderMap {
    let known =
        |name: &HeaderName| *name == RETRY_AFTER || name.as_str().starts_with(PASSED_PREFIXES[0]);
    let mut passed = passed(headers);
    let others: Vec<HeaderName> = passed.keys().filter(|name| !known(name)).cloned().collect();
    for name in others {
        passed.remove(name);
    }
    passed
}

/// What upstream gave us to ask "has it changed?" with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<HeaderValue>,
    pub last_modified: Option<HeaderValue>,
}

impl Validators {
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: headers.get(ETAG).cloned(),
            last_modified: headers.get(LAST_MODIFIED).cloned(),
        }
    }

    /// As they were written down.
    pub fn of_text(etag: Option<&str>, last_modified: Option<&str>) -> Self {
        let value = |text: Option<&str>| HeaderValue::from_str(text?).ok();
        Self {
            etag: value(etag),
            last_modified: value(last_modified),
        }
    }

    /// The entity tag and the date, to be written down.
    pub fn to_text(&self) -> (Option<String>, Option<String>) {
        let text = |value: &Option<HeaderValue>| Some(value.as_ref()?.to_str().ok()?.to_owned());
        (text(&self.etag), text(&self.last_modified))
    }

    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// The one to resume with (RFC 9110 §13.1.5): a strong ETag, else the date. The digest judges
    /// the whole body, so that a date that lies costs a download, not a wrong file.
    pub fn for_resume(&self) -> Option<&HeaderValue> {
        let strong = self
            .etag
            .as_ref()
            .filter(|etag| !etag.as_bytes().starts_with(b"W/"));
        strong.or(self.last_modified.as_ref())
    }
}

/// `Content-Range: bytes first-last/whole` (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    pub first: u64,
    pub last: u64,
    pub whole: Option<u64>,
}

impl ContentRange {
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
        let (span, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let number = |digits: &str| {
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())
                .flatten()
        };
        let whole = if whole == "*" {
            None
        } else {
            Some(number(whole)?)
        };
        let range = Self {
            first: number(first)?,
            last: number(last)?,
            whole,
        };
        let sound = range.first <= range.last && whole.is_none_or(|whole| range.last < whole);
        sound.then_some(range)
    }

    pub fn bytes(self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether this is the answer to `wanted`. Of a file whose length is not told, what may be one
    /// is.
    pub fn answers(self, wanted: ByteRange) -> bool {
        match (wanted, self.whole) {
            (_, Some(whole)) => {
                wanted.on(whole)
                    == Some(Extent {
                        start: self.first,
                        end: self.last + 1,
                    })
            }
            (ByteRange::From { first, last }, None) => {
                self.first == first && last.is_none_or(|last| self.last <= last)
            }
            (ByteRange::Suffix(length), None) => {
                self.bytes() == length || self.first == 0 && self.bytes() < length
            }
        }
    }
}

/// `Content-Range: bytes */whole`: the length that a 416 tells.
pub(super) fn unsatisfied(headers: &HeaderMap) -> Option<u64> {
    let digits = headers
        .get(CONTENT_RANGE)?
        .to_str()
        .ok()?
        .strip_prefix("bytes */")?;
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> Option<ContentRange> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(text).ok()?);
        ContentRange::of(&headers)
    }

    proptest! {
        #[test]
        fn a_content_range_is_read_as_written(first: u32, length in 1..1000u64, rest: u32) {
            let first = u64::from(first);
            let last = first + length - 1;
            let whole = last + 1 + u64::from(rest);
            prop_assert_eq!(range(&format!("bytes {first}-{last}/{whole}")), Some(ContentRange { first, last, whole: Some(whole) }));
            prop_assert_eq!(range(&format!("bytes {first}-{last}/*")), Some(ContentRange { first, last, whole: None }));
            prop_assert_eq!(range(&format!("bytes {first}-{last}/{last}")), None);
        }
    }

    proptest! {
        #[test]
        fn only_what_was_asked_for_answers_a_range(start in 0..9u64, length in 1..9u64, behind in 0..9u64, first in 0..20u64, more in 0..20u64) {
            let size = start + length + behind;
            let told = ContentRange { first: start, last: start + length - 1, whole: Some(size) };
            for wanted in [
                ByteRange::From { first, last: Some(first + more) },
                ByteRange::From { first, last: None },
                ByteRange::Suffix(more),
            ] {
                let right = wanted.on(size).map(|extent| (extent.start, extent.end - 1));
                prop_assert_eq!(told.answers(wanted), right == Some((told.first, told.last)));
                // Without the length, whatever is right is believed.
                let without = ContentRange { whole: None, ..told };
                prop_assert!(without.answers(wanted) || !told.answers(wanted));
            }
        }
    }

    #[test]
    fn only_known_fields_go_on() {
        let mut headers = HeaderMap::new();
        for name in [
            "content-type",
            "set-cookie",
            "x-sendfile",
            "transfer-encoding",
            "ratelimit-reset",
            "x-request-id",
            "deprecation",
        ] {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        headers.insert("connection", HeaderValue::from_static("close, Deprecation"));
        let mut names: Vec<_> = passed(&headers)
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["content-type", "ratelimit-reset"]);
    }
}
