//! What a request says of the answer it wants, read once: method, version, `Range`, `If-Range`,
//! `If-None-Match`, `Accept` and `no-cache`.
//!
//! Pure. Only entity tags (RFC 9110 §13): larder's answers carry no dates to compare. Must not know
//! what is behind a tag.

use std::fmt::Write;

use http::{HeaderValue, Method, Version};

use super::reply::Refusal;
use super::request_head::{Field, RequestHead};
use crate::access::Caller;
use crate::file::{FileReply, FileRequest, FileSource, WantedPart};
use crate::registry::FileRef;
use crate::simple::{MediaType, negotiate};
use crate::values::byte_range::ByteRange;
use crate::values::digest::Digest;
use crate::values::quality_list;

const JSON: &str = "application/json";

/// The digits of a sha256, in quotes.
const FILE_ETAG_BYTES: usize = 66;

pub(super) struct Conditions<'r> {
    head: &'r RequestHead,
    is_head: bool,
    /// Over HTTP/1.0 only a length tells a whole answer from one that broke off.
    needs_length: bool,
    range: Option<ByteRange>,
    if_range: Option<&'r HeaderValue>,
    /// `Cache-Control: no-cache`, which a person or a tool means (uv `--refresh`); `max-age=0` is
    /// pip's habit.
    pub no_cache: bool,
}

impl<'r> Conditions<'r> {
    pub fn read(head: &'r RequestHead) -> Self {
        let lists = head.texts(Field::CacheControl);
        let mut directives = lists.flat_map(|list| list.split(','));
        Self {
            head,
            is_head: head.parts.method == Method::HEAD,
            needs_length: head.parts.version < Version::HTTP_11,
            range: range(head),
            if_range: head.first(Field::IfRange),
            no_cache: directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-cache")),
        }
    }

    pub fn accept(&self) -> impl Iterator<Item = &'r str> {
        self.head.texts(Field::Accept)
    }

    pub fn accept_encoding(&self) -> impl Iterator<Item = &'r str> {
        self.head.texts(Field::AcceptEncoding)
    }

    /// The type of page that the client gets.
    pub fn media_type(&self) -> Result<MediaType, Refusal> {
        negotiate(self.accept()).ok_or(Refusal::NotAcceptable)
    }

    /// Whether a page for people is wanted by a machine.
    pub fn accept_json(&self) -> bool {
        quality_list::names(self.accept(), JSON)
    }

    /// Whether `If-None-Match` names this tag: weak comparison, a list, or `*` (RFC 9110 §13.1.2).
    pub fn not_modified(&self, etag: &[u8]) -> bool {
        let mut lists = self.head.all(Field::IfNoneMatch);
        lists.any(|list| names(list, etag))
    }

    /// The same of a file whose digest is its tag.
    pub fn for_file(&self, digest: Digest) -> FileConditions<'_> {
        let etag = file_etag(digest);
        // Only the strong tag continues what the client has (RFC 9110 §13.1.5).
        let range = match self.if_range {
            Some(tag) if tag.as_bytes() != etag.as_bytes() => None,
            _ => self.range,
        };
        FileConditions {
            request: self,
            unchanged: self.not_modified(etag.as_bytes()),
            range,
            etag: Some(etag),
        }
    }

    /// The same of a file that has no tag, because nothing vouches for its bytes.
    pub fn for_unverified(&self) -> FileConditions<'_> {
        FileConditions {
            request: self,
            etag: None,
            unchanged: false,
            range: if self.if_range.is_none() {
                self.range
            } else {
                None
            },
        }
    }

    /// The same of metadata that was found: its own digest is known only now.
    pub fn for_metadata(&self, found: &FileReply) -> FileConditions<'_> {
        match found {
            FileReply::Open {
                source: FileSource::Blob(metadata),
                ..
            } => self.for_file(metadata.digest()),
            _ => self.for_unverified(),
        }
    }

    /// Whether the client can be sent an answer, whose length may be unknown.
    pub fn check_length(&self, unknown: bool) -> Result<(), Refusal> {
        if self.needs_length && unknown {
            Err(Refusal::NoLength)
        } else {
            Ok(())
        }
    }
}

/// What a request says of one file.
pub(super) struct FileConditions<'c> {
    request: &'c Conditions<'c>,
    pub etag: Option<String>,
    /// The client has these bytes.
    pub unchanged: bool,
    range: Option<ByteRange>,
}

impl FileConditions<'_> {
    /// A head, and a file that the client has, need no bytes.
    pub fn wanted(&self) -> WantedPart {
        match self.range {
            _ if self.unchanged || self.request.is_head => WantedPart::Head,
            Some(range) => WantedPart::Range(range),
            None => WantedPart::Whole,
        }
    }

    pub fn file_request(&self, caller: Caller, file: FileRef) -> FileRequest {
        FileRequest {
            caller,
            file,
            wanted: self.wanted(),
            resumes: self.range.is_some() && self.request.if_range.is_some(),
            needs_length: self.request.needs_length,
        }
    }

    /// The range to cut from the answer: it means something to a GET only (RFC 9110 §14.2).
    pub fn range(&self) -> Option<ByteRange> {
        if self.request.is_head {
            None
        } else {
            self.range
        }
    }

    pub fn check_length(&self, unknown: bool) -> Result<(), Refusal> {
        self.request.check_length(unknown)
    }
}

/// The entity tag of a file: its quoted sha256.
fn file_etag(digest: Digest) -> String {
    let mut etag = String::with_capacity(FILE_ETAG_BYTES);
    // A text takes all that is written into it.
    let _ = write!(etag, "\"{digest}\"");
    etag
}

/// The whole metadata of a wheel, whose tag is not known before its bytes are.
pub(super) fn metadata_request(caller: Caller, wheel: FileRef) -> FileRequest {
    FileRequest {
        caller,
        file: wheel,
        wanted: WantedPart::Whole,
        resumes: false,
        needs_length: true,
    }
}

/// The one range that is asked for, if it is one.
fn range(head: &RequestHead) -> Option<ByteRange> {
    let range = head.only(Field::Range)?.to_str().ok()?;
    ByteRange::parse(range)
}

fn names(list: &HeaderValue, etag: &[u8]) -> bool {
    let Ok(list) = list.to_str() else {
        return false;
    };
    let mut tags = list.split(',').map(|tag| opaque(tag.trim()));
    list.trim() == "*" || tags.any(|tag| tag.as_bytes() == etag)
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::{CACHE_CONTROL, HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE};

    use super::*;

    fn head(method: Method, version: Version, fields: &[(HeaderName, &str)]) -> RequestHead {
        let mut request = Request::builder().method(method).version(version);
        for (name, value) in fields {
            request = request.header(name, *value);
        }
        RequestHead::of(request)
    }

    fn get(fields: &[(HeaderName, &str)]) -> RequestHead {
        head(Method::GET, Version::HTTP_11, fields)
    }

    #[test]
    fn a_tag_is_found_in_every_spelling_of_the_list() {
        let unchanged = |fields: &[_]| Conditions::read(&get(fields)).not_modified(b"\"abc\"");
        for list in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*", " \"abc\" "] {
            assert!(unchanged(&[(IF_NONE_MATCH, list)]), "{list}");
        }
        for list in ["abc", "\"abcd\"", "W/\"ab\"", ""] {
            assert!(!unchanged(&[(IF_NONE_MATCH, list)]), "{list}");
        }
        assert!(!unchanged(&[]));
    }

    #[test]
    fn if_range_with_anything_but_the_strong_tag_means_the_whole() {
        let digest = Digest::of(b"a file");
        let etag = file_etag(digest);
        let wanted = |fields: &[_]| Conditions::read(&get(fields)).for_file(digest).wanted();
        let part = |if_range| wanted(&[(RANGE, "bytes=1-2"), (IF_RANGE, if_range)]);
        assert!(matches!(part(&etag), WantedPart::Range(_)));
        let weak = format!("W/{etag}");
        for other in [&weak, "\"abd\"", "Tue, 02 Jan 2024 03:04:05 GMT"] {
            assert_eq!(part(other), WantedPart::Whole, "{other}");
        }
        assert!(matches!(
            wanted(&[(RANGE, "bytes=1-2")]),
            WantedPart::Range(_)
        ));
        assert_eq!(wanted(&[(RANGE, "bytes=1-2,5-6")]), WantedPart::Whole);
        assert_eq!(
            wanted(&[(RANGE, "bytes=1-2"), (RANGE, "bytes=1-2")]),
            WantedPart::Whole
        );
    }

    #[test]
    fn a_head_and_a_file_that_the_client_has_need_no_bytes() {
        let digest = Digest::of(b"a file");
        let etag = file_etag(digest);
        let asked = head(Method::HEAD, Version::HTTP_11, &[(RANGE, "bytes=1-2")]);
        let asked = Conditions::read(&asked);
        assert_eq!(asked.for_file(digest).wanted(), WantedPart::Head);
        assert_eq!(asked.for_file(digest).range(), None);
        let known = get(&[(IF_NONE_MATCH, etag.as_str())]);
        let known = Conditions::read(&known);
        assert_eq!(known.for_file(digest).wanted(), WantedPart::Head);
        assert_eq!(known.for_unverified().wanted(), WantedPart::Whole);
    }

    #[test]
    fn without_a_tag_no_range_continues_what_the_client_has() {
        let part = get(&[(RANGE, "bytes=1-2")]);
        let part = Conditions::read(&part).for_unverified().wanted();
        assert!(matches!(part, WantedPart::Range(_)));
        let rest = get(&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"abc\"")]);
        let rest = Conditions::read(&rest).for_unverified().wanted();
        assert_eq!(rest, WantedPart::Whole);
    }

    #[test]
    fn over_http_1_0_an_answer_without_a_length_is_refused() {
        for (version, refused) in [(Version::HTTP_10, true), (Version::HTTP_11, false)] {
            let request = head(Method::GET, version, &[]);
            let conditions = Conditions::read(&request);
            assert_eq!(conditions.check_length(true).is_err(), refused);
            assert!(conditions.check_length(false).is_ok());
        }
    }

    #[test]
    fn no_cache_is_found_among_other_directives() {
        let no_cache = |text| Conditions::read(&get(&[(CACHE_CONTROL, text)])).no_cache;
        assert!(no_cache("max-age=0, No-Cache"));
        assert!(!no_cache("max-age=0, no-store"));
    }
}
