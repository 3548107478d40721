//! A read, and what became of it.
//!
//! Owns the fields of a request that say what is wanted, and by whom it was asked; which of them a
//! peer gets is for the peer to say. Must not know connections.

use std::time::Duration;

use http::HeaderMap;
use http::StatusCode;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, RANGE, USER_AGENT, VIA,
};
use url::Url;

use super::error::UpstreamError;
use super::peer::Peer;
use super::response::{ContentRange, PassThrough, UpstreamResponse, Validators};
use crate::access::{Caller, Credential, Fingerprint};
use crate::registry::{Route, Scope};
use crate::simple::Format;
use crate::values::byte_range::ByteRange;
use crate::values::correlation;

/// Under which both sides name a request.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A read as it is sent to one peer.
#[derive(Clone, Copy)]
pub(super) struct PeerRequest<'a> {
    /// What is asked for, in one word, as it is counted.
    pub kind: &'static str,
    pub url: &'a Url,
    pub headers: &'a HeaderMap,
    /// On a new connection.
    pub fresh: bool,
    /// Not tried again, because another peer stands in.
    pub once: bool,
    pub ahead: bool,
}

/// A span of bytes to ask upstream for.
#[derive(Clone, Debug)]
pub struct WantedRange {
    pub range: ByteRange,
    pub if_range: Option<HeaderValue>,
}

/// A read in a caller's name.
#[derive(Clone, Debug)]
pub struct UpstreamRequest<'a> {
    pub route: &'a Route,
    /// Goes to GitLab. A mirror gets its own credential, or none.
    pub credential: &'a Credential,
    /// Whose waits these are when GitLab says "later"; without it no caller's.
    pub who: Option<Fingerprint>,
    /// The format that a page is wanted in; it may come in the other, if upstream has no choice.
    pub accept: Format,
    pub validators: Validators,
    pub range: Option<WantedRange>,
    /// On a new connection.
    pub fresh_connection: bool,
    /// Of several parents the one whose answer has just broken off: it is asked last.
    pub broke_off: Option<Peer>,
    /// A page as GitLab has it now: an upload has changed it, and not every parent knows of that.
    pub insists: bool,
    /// One try, because another parent stands in.
    pub once: bool,
    /// No client waits for it: it is tried once, not at all of a peer that failed lately, and its
    /// failure opens no breaker.
    pub ahead: bool,
}

impl<'a> UpstreamRequest<'a> {
    /// With the caller's credential, and held to the waits that GitLab gave it.
    pub fn by(route: &'a Route, caller: &'a Caller) -> Self {
        Self {
            who: Some(caller.fingerprint()),
            ..Self::plain(route, caller.credential())
        }
    }

    pub fn plain(route: &'a Route, credential: &'a Credential) -> Self {
        Self {
            route,
            credential,
            who: None,
            accept: Format::Html,
            validators: Validators::default(),
            range: None,
            fresh_connection: false,
            broke_off: None,
            insists: false,
            once: false,
            ahead: false,
        }
    }

    /// The read of a peer that this comes to.
    pub(super) fn reading<'r>(&self, url: &'r Url, headers: &'r HeaderMap) -> PeerRequest<'r> {
        PeerRequest {
            kind: self.route.word(),
            url,
            headers,
            fresh: self.fresh_connection,
            once: self.once,
            ahead: self.ahead,
        }
    }

    /// What any peer may know of it: never a credential.
    pub(super) fn fields(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("larder/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(wanted) = &self.range {
            headers.extend(
                HeaderValue::try_from(wanted.range.field())
                    .ok()
                    .map(|field| (RANGE, field)),
            );
            if let Some(if_range) = &wanted.if_range {
                headers.insert(IF_RANGE, if_range.clone());
            }
        }
        headers
    }

    /// Whether a status refuses the range that was asked for, and perhaps not the file (RFC 9110
    /// §14.2 lets a server support none; such as support some say this of the others).
    pub(super) fn is_refused_by(&self, status: StatusCode) -> bool {
        const REFUSALS: [StatusCode; 3] = [
            StatusCode::BAD_REQUEST,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::NOT_IMPLEMENTED,
        ];
        self.range.is_some() && REFUSALS.contains(&status)
    }

    /// What a 200 or 206 is to this request. A 206 is nothing unless it is for what was asked:
    /// taken for another part, or for all, its bytes would be put where they do not belong.
    pub(super) fn success(
        &self,
        peer: Peer,
        answer: UpstreamResponse,
    ) -> Result<FileAnswer, UpstreamError> {
        if answer.status == StatusCode::OK {
            return Ok(FileAnswer::Whole(answer));
        }
        match (&self.range, ContentRange::of(&answer.headers)) {
            (Some(wanted), Some(part)) if part.answers(wanted.range) => {
                Ok(FileAnswer::Part(part, answer))
            }
            _ => Err(UpstreamError::WrongPart(peer)),
        }
    }

    /// The name under which both sides find the request in their logs.
    pub(super) fn put_request_id(headers: &mut HeaderMap) {
        let Some(current) = correlation::current() else {
            return;
        };
        if let Ok(id) = current.id().with_text(HeaderValue::from_str) {
            headers.insert(X_REQUEST_ID, id);
        }
    }

    /// This process's name, behind those of the larders that a request came through (RFC 9110
    /// §7.6.3): each of them knows it again. Other names of a client's `Via` go nowhere.
    pub(super) fn put_via(headers: &mut HeaderMap, own: &HeaderValue) {
        let before = correlation::current().and_then(|current| current.via());
        let joined = match (before, own.to_str()) {
            (Some(before), Ok(own)) => HeaderValue::try_from(format!("{before}, {own}")).ok(),
            _ => None,
        };
        headers.insert(VIA, joined.unwrap_or_else(|| own.clone()));
    }

    /// "Has it changed?", if there are validators.
    pub(super) fn put_validators(&self, headers: &mut HeaderMap) {
        if let Some(etag) = &self.validators.etag {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(date) = &self.validators.last_modified {
            headers.insert(IF_MODIFIED_SINCE, date.clone());
        }
    }

    /// What a page may come as. A GitLab that can speak JSON ignores q values (PEP 691 has them),
    /// so that a request for HTML names nothing else.
    pub(super) fn put_page_types(&self, headers: &mut HeaderMap) {
        let types = match self.accept {
            Format::Html => "text/html",
            Format::Json => {
                "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
            }
        };
        headers.insert(ACCEPT, HeaderValue::from_static(types));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if self.insists {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
    }

    /// What an inquiry may be answered with, as it is: nothing compressed.
    pub(super) fn put_types_of(&self, inquiry: Inquiry, headers: &mut HeaderMap) {
        match inquiry {
            Inquiry::Page => {
                self.put_page_types(headers);
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Inquiry::Version | Inquiry::File | Inquiry::Status => Self::put_file_types(headers),
        }
    }

    pub(super) fn put_file_types(headers: &mut HeaderMap) {
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    }
}

/// What `doctor` asks a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// GitLab's own version, which it tells to some tokens. A mirror has none: its route is asked
    /// for.
    Version,
    /// What the route leads to, as a page.
    Page,
    /// What the route leads to, as a file.
    File,
    /// What a larder says of itself.
    Status,
}

/// What upstream said to a page request.
pub enum PageAnswer {
    /// 200 with a body that may be an index page of either format: `Content-Type` tells. `url` is
    /// where it was served from, redirects followed; relative links are meant from there.
    Page { answer: UpstreamResponse, url: Url },
    /// `age` is that of a confirmation which a larder gave although it could not ask.
    NotModified { age: Duration },
    /// GitLab's "not here, look at the public index"; `pass_through` is what the client gets if
    /// nothing answers in GitLab's place.
    Forward {
        pass_through: PassThrough,
        to: ForwardTarget,
    },
    /// A refusal, to be passed on as it is.
    Refused(PassThrough),
}

/// What answers in GitLab's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardTarget {
    /// Nothing.
    None,
    /// The mirror that the configuration names.
    Mirror(Scope),
    /// The index at this URL, where GitLab's redirect leads.
    Index(Url),
}

/// What upstream said to a file request.
pub enum FileAnswer {
    /// 200: all of it, from GitLab or the object store behind it, or from a mirror.
    Whole(UpstreamResponse),
    /// 206, for the range that was asked for.
    Part(ContentRange, UpstreamResponse),
    /// The range was refused, though perhaps not the file.
    RangeRefused(StatusCode),
    NotModified,
    /// GitLab let the caller in and pointed at the object store, which was not asked.
    Admitted(StatusCode),
    /// 416: the caller is let in, but there is nothing at this range of a file of this length.
    Unsatisfiable(Option<u64>),
    /// A refusal, to be passed on as it is.
    Refused(PassThrough),
}
