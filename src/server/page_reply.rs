//! A page as an HTTP answer: 200 or 304, in the type and the coding that the client wants.
//!
//! Must not know how a page is come by.

use std::sync::LazyLock;

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY,
};
use http::{Response, StatusCode};

use super::body::ReplyBody;
use super::conditions::Conditions;
use super::encoding;
use super::reply::{self, Refusal, Reply};
use crate::index::{Coding, PageReply};
use crate::simple::MediaType;
use crate::values::cache_status::{CacheStatus, Outcome};

/// Everything that can change a page.
const PAGE_VARY: HeaderValue =
    HeaderValue::from_static("Accept, Accept-Encoding, Authorization, PRIVATE-TOKEN, Deploy-Token");
/// The freshness rule lives in larder; a client asks each time, and a 304 on loopback costs next to
/// nothing.
const PAGE_CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

const MEDIA_TYPES: [MediaType; 3] = [MediaType::TextHtml, MediaType::V1Html, MediaType::V1Json];
const CODINGS: [Option<Coding>; 3] = [None, Some(Coding::Gzip), Some(Coding::Zstd)];

/// The heads of all pages, whose tag and id are not theirs yet: to copy one costs less than to put
/// its fields together.
static READY_HEADS: LazyLock<Vec<ReadyHead>> = LazyLock::new(|| {
    let each = |media| CODINGS.map(|coding| ReadyHead::new(media, coding));
    MEDIA_TYPES.into_iter().flat_map(each).collect()
});

struct ReadyHead {
    media: MediaType,
    coding: Option<Coding>,
    fields: HeaderMap,
}

impl ReadyHead {
    fn new(media: MediaType, coding: Option<Coding>) -> Self {
        let mut fields = usual_fields(media);
        if let Some(coding) = coding {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        // Holds the place.
        fields.insert(ETAG, HeaderValue::from_static(""));
        reply::make_ready(&mut fields);
        Self {
            media,
            coding,
            fields,
        }
    }

    fn of(media: MediaType, coding: Option<Coding>) -> HeaderMap {
        for ready in &*READY_HEADS {
            if ready.media == media && ready.coding == coding {
                return ready.fields.clone();
            }
        }
        Self::new(media, coding).fields
    }
}

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
            *response.headers_mut() = usual_fields(media);
            return Ok((response, CacheStatus::answered(Outcome::Bypass, 200)));
        }
        PageReply::PassThrough(word) => return Ok(reply::relayed(word)),
    };
    let forms = page.forms();
    let representation = forms.choose(encoding::wanted(conditions.accept_encoding()));
    let etag = &representation.etag;
    let mut response;
    let mut coding = None;
    if conditions.not_modified(etag.as_bytes()) {
        response = Response::new(ReplyBody::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        // hyper says how long it is.
        response = Response::new(ReplyBody::representation(representation));
        coding = representation.coding;
    }
    let headers = response.headers_mut();
    *headers = ReadyHead::of(media, coding);
    headers.insert(ETAG, etag.clone());
    if let Some(age) = age {
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
    }
    Ok((response, status))
}

/// Of the answer of any page.
fn usual_fields(media: MediaType) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(media.as_str()));
    fields.insert(CACHE_CONTROL, PAGE_CACHE_CONTROL);
    fields.insert(VARY, PAGE_VARY);
    fields
}
