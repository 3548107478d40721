//! From what the services found to an HTTP answer: with `page_reply` and `file_reply` the only
//! place where larder chooses a status, and the one table of refusals.
//!
//! | found | answer |
//! | --- | --- |
//! | a page, a file | 200, 206, 304, 416 |
//! | GitLab's own word | as it came |
//! | upstream did not answer | 504: one request in pip, where 502 and 503 cost eight seconds |
//! | a broken or wrong answer upstream | 502 |
//! | what must not be had: a private name at a mirror, a file that a policy refuses | 404, 403 |
//! | offline: what is not here; who may not; an upload | 404; 401, 403; 403 |
//! | a source of a view that may hide what is asked for; a mirror for others | 401 without a credential, 403 |
//! | a request that is not ours, or breaks off | 400, 403, 404, 405, 406, 408, 421, 429, 431, 503, 505, 508 |
//!
//! Errors say why in one line, in the two places where clients show it: the reason phrase (pip,
//! twine) and `application/problem+json` (uv; RFC 9457). Must not name upstream addresses.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::body::ReplyBody;
use super::failure::UpstreamWords;
use super::osv::OsvError;
use super::rewrite_lock::LockRewriteError;
use super::target::TargetError;
use crate::access::{CallerError, CredentialError, OfflineAuthError};
use crate::admin::AdminError;
use crate::file::FileError;
use crate::index::PageError;
use crate::registry::{RouteError, Scope};
use crate::upload::UploadError;
use crate::upstream::{PassThrough, UpstreamError};
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::request_id::RequestId;

pub(super) type Reply = (Response<ReplyBody>, CacheStatus);

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The name of a request in larder's log, the client's and upstream's.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Which source of a view answered.
pub(super) const LARDER_SOURCE: HeaderName = HeaderName::from_static("larder-source");

/// The commonest value of it, ready.
const CACHE_HIT: HeaderValue = HeaderValue::from_static("larder; hit");

/// For what is not larder's own writing and may run in a browser: GitLab's words, a mirror's page.
/// It is shown, and nothing in it runs, lest it act in its reader's name.
const FOREIGN_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; sandbox allow-downloads");
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");

/// Where larder asks for a credential itself; without a challenge clients send none.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"larder\"");

/// Why a request ends without a service's answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error("a GET or HEAD request must not have a body")]
    BodyOnRead,
    #[error(
        "the length of this answer is not known, and without one HTTP/1.0 cannot tell a break: use HTTP/1.1"
    )]
    NoLength,
    #[error("pages are text/html or application/vnd.pypi.simple.v1+json, and Accept names neither")]
    NotAcceptable,
    #[error(
        "request loop: this request came through this larder before; gitlab.url points back at it"
    )]
    Loop,
    #[error("cross-site uploads from a browser are refused (Origin, Sec-Fetch-Site)")]
    CrossSite,
    #[error(
        "\"{0}\" is an unknown host name, and larder acts with rights of its own: use its address or localhost, or a name that \
         public_url has"
    )]
    UnknownHost(String),
    #[error("too many requests are under way (limits.connections): retry in a moment")]
    TooManyRequests,
    #[error("too many requests: this client may send more in {} s (limits.requests_per_second)", seconds(.0))]
    RateLimited(Duration),
    #[error(
        "this address (health_listen) answers /-/health/live, /-/health/ready and /-/metrics only"
    )]
    HealthOnly,
    #[error("this address speaks TLS: use https:// in place of http://")]
    Plaintext,
    #[error("the command cannot be read: {0}")]
    Command(String),
    #[error(transparent)]
    LockRewrite(#[from] LockRewriteError),
    #[error(transparent)]
    Osv(#[from] OsvError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl From<AdminError> for Refusal {
    fn from(why: AdminError) -> Self {
        match why {
            AdminError::Route(why) => why.into(),
            AdminError::Page(why) => why.into(),
        }
    }
}

impl Refusal {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Route(
                RouteError::Unknown
                | RouteError::Elsewhere(_)
                | RouteError::NoMirror(_)
                | RouteError::OfView,
            )
            | Self::HealthOnly => StatusCode::NOT_FOUND,
            Self::Route(RouteError::Method(_) | RouteError::ViewUpload) => {
                StatusCode::METHOD_NOT_ALLOWED
            }
            Self::Route(RouteError::Malformed(_) | RouteError::CredentialInQuery(_))
            | Self::Target(_)
            | Self::BodyOnRead
            | Self::Plaintext
            | Self::Command(_)
            | Self::Upload(UploadError::BrokeOff)
            | Self::Caller(CallerError::Credential(CredentialError::Repeated(_))) => {
                StatusCode::BAD_REQUEST
            }
            Self::Caller(CallerError::Credential(CredentialError::TooLong(_))) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::LockRewrite(why) => why.status(),
            Self::Osv(why) => why.status(),
            Self::NoLength => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Loop
            | Self::File(FileError::Upstream(UpstreamError::Loop))
            | Self::Upstream(UpstreamError::Loop) => StatusCode::LOOP_DETECTED,
            Self::Upload(UploadError::Paused(_)) => StatusCode::REQUEST_TIMEOUT,
            Self::Page(why) => page_status(why),
            Self::File(FileError::Upstream(why))
            | Self::Upload(UploadError::Upstream(why))
            | Self::Upstream(why) => upstream_status(why),
            Self::File(FileError::NotHeld(_)) => StatusCode::NOT_FOUND,
            // twine sends again what a 5xx answers.
            Self::Caller(CallerError::Offline(OfflineAuthError::Denied))
            | Self::Upload(UploadError::Offline)
            | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Caller(CallerError::Offline(OfflineAuthError::Unknown)) => {
                StatusCode::UNAUTHORIZED
            }
            Self::UnknownHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::File(FileError::Body(_) | FileError::Blocked) => StatusCode::BAD_GATEWAY,
            Self::TooManyRequests
            | Self::File(FileError::Busy)
            | Self::Caller(CallerError::Offline(OfflineAuthError::Busy)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::File(FileError::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether upstream was at fault, as the access log tells it.
    fn outcome(&self) -> CacheStatus {
        match self {
            Self::Page(
                PageError::PrivateName(_)
                | PageError::Policy(_)
                | PageError::Closed
                | PageError::NotListed
                | PageError::NotPrivate(_)
                | PageError::CredentialWanted
                | PageError::UnknownCaller(_)
                | PageError::Hidden(_)
                | PageError::SourceRefused(..)
                | PageError::NotInAudience(..)
                | PageError::AudienceUnknown(_),
            ) => CacheStatus::new(Outcome::Denied),
            // Offline: upstream was not asked.
            Self::Page(
                PageError::NoPackage(_)
                | PageError::NothingOf(_)
                | PageError::NotHeld(_)
                | PageError::SourceUnknown(_),
            )
            | Self::File(FileError::NotHeld(_))
            | Self::Upload(UploadError::Offline) => CacheStatus::INTERNAL,
            Self::Page(_) | Self::File(_) | Self::Upload(_) | Self::Upstream(_) => {
                CacheStatus::new(Outcome::Error)
            }
            _ => CacheStatus::INTERNAL,
        }
    }
}

fn page_status(why: &PageError) -> StatusCode {
    match why {
        PageError::Upstream(UpstreamError::Loop) => StatusCode::LOOP_DETECTED,
        PageError::Upstream(why) => upstream_status(why),
        PageError::PrivateName(_)
        | PageError::NotListed
        | PageError::NoPackage(_)
        | PageError::NothingOf(_)
        | PageError::NotHeld(_)
        | PageError::NotPrivate(_) => StatusCode::NOT_FOUND,
        PageError::CredentialWanted | PageError::AudienceUnknown(_) => StatusCode::UNAUTHORIZED,
        PageError::UnknownCaller(_)
        | PageError::Hidden(_)
        | PageError::SourceRefused(..)
        | PageError::NotInAudience(..) => StatusCode::FORBIDDEN,
        PageError::SourceUnknown(_) => StatusCode::GATEWAY_TIMEOUT,
        PageError::Policy(_) => StatusCode::FORBIDDEN,
        PageError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        PageError::NotAPage(_)
        | PageError::Broken(_)
        | PageError::TooLarge
        | PageError::ListTooLarge(..) => StatusCode::BAD_GATEWAY,
        PageError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn upstream_status(why: &UpstreamError) -> StatusCode {
    if why.is_silence() {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::BAD_GATEWAY
    }
}

pub(super) fn refusal(why: &Refusal, id: &RequestId) -> Reply {
    let status = why.status();
    let detail = why.to_string();
    let title = status.canonical_reason().unwrap_or_default();
    let problem = serde_json::json!({
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
        "request_id": id.to_string(),
    });
    let mut response = Response::new(ReplyBody::bytes(Bytes::from(problem.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Refusal::Route(RouteError::Method(allowed)) = why {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if matches!(why, Refusal::Route(RouteError::ViewUpload)) {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if matches!(
        why,
        Refusal::Caller(CallerError::Offline(OfflineAuthError::Unknown))
            | Refusal::Page(PageError::CredentialWanted | PageError::AudienceUnknown(_))
    ) {
        headers.insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    if let Refusal::RateLimited(wait) = why {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
    }
    if matches!(
        why,
        Refusal::Target(_) | Refusal::BodyOnRead | Refusal::Plaintext
    ) {
        // A sender that frames a message like this may see its end elsewhere than larder does:
        // nothing after it counts.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    put_reason(&mut response, &detail);
    (response, why.outcome())
}

/// A refusal before anything was understood, ready to be sent.
pub(super) fn rejection(why: &Refusal) -> Response<ReplyBody> {
    let id = RequestId::random();
    let (mut response, status) = refusal(why, &id);
    finish(&mut response, status, false, &id);
    response
}

/// Whole seconds, rounded up.
fn seconds(wait: &Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// One printable ASCII line (RFC 9112 §4), not longer than a terminal shows.
fn put_reason(response: &mut Response<ReplyBody>, text: &str) {
    let line: String = text
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { ' ' })
        .take(200)
        .collect();
    let line = line.trim_end();
    if !line.is_empty()
        && let Ok(reason) = ReasonPhrase::try_from(line.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
}

/// GitLab's own words, and nothing that would tell a stranger what is stored here.
pub(super) fn relayed(relayed: PassThrough) -> Reply {
    let status = CacheStatus::answered(Outcome::Bypass, relayed.status.as_u16());
    let words = UpstreamWords::read(&relayed.body);
    let mut response = Response::new(ReplyBody::bytes(relayed.body));
    *response.status_mut() = relayed.status;
    *response.headers_mut() = relayed.headers;
    response.extensions_mut().insert(words);
    if let Some(reason) = relayed.reason {
        put_reason(&mut response, &String::from_utf8_lossy(reason.as_bytes()));
    }
    (response, status)
}

/// Says which source of a view an answer is of.
pub(super) fn put_source(reply: &mut Reply, source: &Scope) {
    if let Ok(value) = HeaderValue::try_from(source.to_string()) {
        reply.0.headers_mut().insert(LARDER_SOURCE, value);
    }
}

/// An answer of larder's own.
pub(super) fn internal(answer: Response<String>) -> Reply {
    let answer = answer.map(|text| ReplyBody::bytes(Bytes::from(text)));
    (answer, CacheStatus::INTERNAL)
}

/// What an order over the control socket tells while it is carried out.
pub(super) fn events(body: ReplyBody) -> Reply {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (response, CacheStatus::INTERNAL)
}

/// Whether a browser that is not to guess makes nothing of this type that could run.
fn is_inert(content_type: &HeaderValue) -> bool {
    let kind = content_type
        .as_bytes()
        .split(|b| *b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    kind.ends_with(b"json") || [&b"application/octet-stream"[..], b"text/plain"].contains(&kind)
}

/// What every answer carries.
pub(super) fn finish(
    response: &mut Response<ReplyBody>,
    status: CacheStatus,
    head: bool,
    id: &RequestId,
) {
    if head {
        let length = http_body::Body::size_hint(response.body()).exact();
        if let Some(length) = length
            && !response.headers().contains_key(CONTENT_LENGTH)
        {
            let status = response.status();
            if status != StatusCode::NOT_MODIFIED && status != StatusCode::NO_CONTENT {
                response
                    .headers_mut()
                    .insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        *response.body_mut() = ReplyBody::empty();
    }
    let headers = response.headers_mut();
    let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) else {
        return;
    };
    // A head that was ready holds its place, and no other: of upstream's fields this one never
    // goes on.
    if let Some(place) = headers.get_mut(&X_REQUEST_ID) {
        *place = id;
        if status != CacheStatus::HIT {
            put_status(headers, status);
        }
    } else {
        guard(headers);
        put_status(headers, status);
        headers.insert(X_REQUEST_ID, id);
    }
}

/// Keeps a browser from running what is not larder's own writing.
fn guard(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
    if !headers.get(CONTENT_TYPE).is_some_and(is_inert) {
        // Larder's own documents bring theirs; of upstream's fields this one never goes on.
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(FOREIGN_POLICY);
    }
}

fn put_status(headers: &mut HeaderMap, status: CacheStatus) {
    let status = match status {
        CacheStatus::HIT => Ok(CACHE_HIT),
        status => HeaderValue::try_from(status.to_string()),
    };
    if let Ok(status) = status {
        headers.insert(CACHE_STATUS, status);
    }
}

/// Adds what the answer of a hit carries, so that its head is ready but for its id.
pub(super) fn make_ready(headers: &mut HeaderMap) {
    guard(headers);
    put_status(headers, CacheStatus::HIT);
    // Holds the place.
    headers.insert(X_REQUEST_ID, HeaderValue::from_static(""));
}
