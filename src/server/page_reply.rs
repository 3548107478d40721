//! A page as an HTTP answer: 200 or 304, in the type and the coding that the client wants.
//!
//! Must not know how a page is come by.

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, VARY,
};
use http::{Response, StatusCode};

use super::body::ReplyBody;
use super::conditions::Conditions;
use super::encoding;
use super::reply::{self, Refusal, Reply};
use crate::index::PageReply;
use crate::simple::MediaType;
use crate::values::cache_status::{CacheStatus, Outcome};

/// Everything that can change a page.
const PAGE_VARY: HeaderValue =
    HeaderValue::from_static("Accept, Accept-Encoding, Authorization, PRIVATE-TOKEN, Deploy-Token");
/// The freshness rule lives in larder; a client asks each time, and a 304 on loopback costs next to
/// nothing.
const PAGE_CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Of an answer, with those that `reply::finish` adds: room is asked for once.
const FIELDS: usize = 12;

/// # Errors
/// When the client needs a length, and the page has none.
pub(super) fn page(
    found: PageReply,
    media: MediaType,
    conditions: &Conditions<'_>,
) -> Result<Reply, Refusal> {
    let (page, status, age) = match found {
        PageReply::Page {
            page,
            status,
            age,
            permit: _,
        } => (page, status, age),
        PageReply::Stream(stream) => {
            conditions.check_length(true)?;
            let mut response = Response::new(ReplyBody::page(stream));
            page_headers(response.headers_mut(), media);
            return Ok((response, CacheStatus::answered(Outcome::Bypass, 200)));
        }
        PageReply::PassThrough(word) => return Ok(reply::relayed(word)),
    };
    let forms = page.forms();
    let representation = forms.choose(encoding::wanted(conditions.accept_encoding()));
    let mut response = Response::new(ReplyBody::empty());
    page_headers(response.headers_mut(), media);
    let etag = representation.etag.clone();
    if conditions.not_modified(etag.as_bytes()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = ReplyBody::bytes(representation.body.clone());
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(representation.body.len()));
        if let Some(coding) = representation.coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    if let Some(age) = age {
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
    }
    Ok((response, status))
}

fn page_headers(headers: &mut HeaderMap, media: MediaType) {
    headers.reserve(FIELDS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.as_str()));
    headers.insert(CACHE_CONTROL, PAGE_CACHE_CONTROL);
    headers.insert(VARY, PAGE_VARY);
}
