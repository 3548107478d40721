//! A file, or metadata, as an HTTP answer: 200, 206, 304 or 416.
//!
//! Bytes that are verified have a tag and are immutable; others have none and are not to be stored.
//! Must not know how a file is come by.

use std::time::Duration;

use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, VARY,
};
use http::{Response, StatusCode};

use super::body::{FileBody, ReplyBody};
use super::conditions::FileConditions;
use super::reply::{self, Refusal, Reply};
use crate::access::Permit;
use crate::file::{FileReply, FileSource};
use crate::upstream::{ContentRange, IdleBody};
use crate::values::byte_range::{ByteRange, Extent};
use crate::values::cache_status::{CacheStatus, Outcome};

const FILE_VARY: HeaderValue =
    HeaderValue::from_static("Authorization, PRIVATE-TOKEN, Deploy-Token");
/// The bytes under a digest never change; the right to them does, hence private.
const FILE_CACHE_CONTROL: HeaderValue =
    HeaderValue::from_static("private, max-age=31536000, immutable");
/// To make room for more than there was at first costs as much as to add all fields.
const FIELDS_USUAL: usize = 12;

const UNVERIFIED_CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-store");

/// # Errors
/// When the client needs a length, and the file has none.
pub(super) fn file(found: FileReply, conditions: &FileConditions<'_>) -> Result<Reply, Refusal> {
    let found = if conditions.unchanged {
        found.head()
    } else {
        found
    };
    let (mut response, status) = match found {
        FileReply::PassThrough(word) => return Ok(reply::relayed(word)),
        FileReply::Partial { range, body } => return Ok(partial(range, body)),
        FileReply::Unsatisfiable { size } => return Ok(unsatisfiable(size)),
        FileReply::Unverified { size, body } => {
            conditions.check_length(size.is_none() && body.is_some())?;
            return Ok(unverified(size, body));
        }
        FileReply::Known {
            permit: _, status, ..
        } if conditions.unchanged => (empty(StatusCode::NOT_MODIFIED), status),
        FileReply::Known {
            permit: _,
            size,
            status,
        } => (whole_or_range(size, conditions.range()).0, status),
        FileReply::Open {
            permit,
            source,
            size: Some(size),
            status,
        } => (open(permit, source, size, conditions.range()), status),
        FileReply::Open {
            permit,
            source,
            size: None,
            status,
        } => {
            conditions.check_length(true)?;
            let body = FileBody::new(permit, source, None);
            (Response::new(ReplyBody::file(body)), status)
        }
        FileReply::Checked {
            permit: _,
            size,
            body,
        } => {
            conditions.check_length(size.is_none())?;
            let mut response = Response::new(ReplyBody::checked(body));
            content_length(response.headers_mut(), size);
            (response, CacheStatus::answered(Outcome::Bypass, 200))
        }
    };
    file_headers(response.headers_mut(), FILE_CACHE_CONTROL);
    if let Some(etag) = &conditions.etag
        && let Ok(etag) = HeaderValue::from_str(etag)
    {
        response.headers_mut().insert(ETAG, etag);
    }
    Ok((response, status))
}

/// A file that was found by a page of this age, which upstream could not confirm: that it is still
/// listed is no fresher.
pub(super) fn found_by_stale_page((mut response, status): Reply, age: Duration) -> Reply {
    if !(response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED) {
        return (response, status);
    }
    response
        .headers_mut()
        .insert(AGE, HeaderValue::from(age.as_secs()));
    let status = if status == CacheStatus::HIT {
        CacheStatus::new(Outcome::Stale)
    } else {
        status
    };
    (response, status)
}

/// Bytes of a file of known size, all or a range.
fn open(
    permit: Permit,
    source: FileSource,
    size: u64,
    range: Option<ByteRange>,
) -> Response<ReplyBody> {
    let (mut response, extent) = whole_or_range(size, range);
    if let Some(extent) = extent {
        let body = FileBody::new(permit, source, Some(extent));
        *response.body_mut() = ReplyBody::file(body);
    }
    response
}

/// What upstream sends of a file that nothing vouches for.
fn unverified(size: Option<u64>, body: Option<IdleBody>) -> Reply {
    let body = match body {
        Some(body) => ReplyBody::relayed(body, size),
        None => ReplyBody::empty(),
    };
    let mut response = Response::new(body);
    file_headers(response.headers_mut(), UNVERIFIED_CACHE_CONTROL);
    content_length(response.headers_mut(), size);
    (response, CacheStatus::answered(Outcome::Bypass, 200))
}

fn unsatisfiable(size: Option<u64>) -> Reply {
    let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
    let headers = response.headers_mut();
    file_headers(headers, UNVERIFIED_CACHE_CONTROL);
    content_range(headers, &format!("bytes */{}", size_or_star(size)));
    (response, CacheStatus::answered(Outcome::Bypass, 416))
}

fn partial(range: ContentRange, body: IdleBody) -> Reply {
    let bytes = range.bytes();
    let mut response = Response::new(ReplyBody::relayed(body, Some(bytes)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    file_headers(headers, UNVERIFIED_CACHE_CONTROL);
    let whole = size_or_star(range.whole);
    let text = format!("bytes {}-{}/{whole}", range.first, range.last);
    content_range(headers, &text);
    content_length(headers, Some(bytes));
    (response, CacheStatus::answered(Outcome::Bypass, 206))
}

/// The head of a file of known size, and the part that is to follow.
fn whole_or_range(size: u64, wanted: Option<ByteRange>) -> (Response<ReplyBody>, Option<Extent>) {
    let mut response = empty(StatusCode::OK);
    let whole = Extent {
        start: 0,
        end: size,
    };
    let extent = wanted.map_or(Some(whole), |range| range.on(size));
    match (wanted, extent) {
        (None, _) => {}
        (Some(_), Some(Extent { start, end })) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {start}-{}/{size}", end - 1);
            content_range(response.headers_mut(), &text);
        }
        (Some(_), None) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            content_range(response.headers_mut(), &format!("bytes */{size}"));
        }
    }
    let length = extent.map_or(0, Extent::bytes);
    content_length(response.headers_mut(), Some(length));
    (response, extent)
}

fn empty(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = status;
    *response.headers_mut() = HeaderMap::with_capacity(FIELDS_USUAL);
    response
}

fn size_or_star(size: Option<u64>) -> String {
    match size {
        Some(size) => size.to_string(),
        None => "*".to_owned(),
    }
}

fn content_length(headers: &mut HeaderMap, size: Option<u64>) {
    if let Some(size) = size {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    }
}

fn content_range(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(CONTENT_RANGE, value);
    }
}

fn file_headers(headers: &mut HeaderMap, cache_control: HeaderValue) {
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, cache_control);
    headers.insert(VARY, FILE_VARY);
}
