//! A request without its body, and which of the header fields it has that every request is looked
//! through for.
//!
//! These are found in one pass: most requests have few fields, and to look for one that is not
//! there costs as much as the pass. Must not know what a field means.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, IF_RANGE, RANGE, TRANSFER_ENCODING, VIA,
};
use http::request::Parts;

use super::ingress::Ingress;
use super::reply::X_REQUEST_ID;

/// A header field that every request is looked through for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Accept,
    AcceptEncoding,
    CacheControl,
    ContentLength,
    IfNoneMatch,
    IfRange,
    Range,
    TransferEncoding,
    Via,
    XRequestId,
}

impl Field {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "accept" => Self::Accept,
            "accept-encoding" => Self::AcceptEncoding,
            "cache-control" => Self::CacheControl,
            "content-length" => Self::ContentLength,
            "if-none-match" => Self::IfNoneMatch,
            "if-range" => Self::IfRange,
            "range" => Self::Range,
            "transfer-encoding" => Self::TransferEncoding,
            "via" => Self::Via,
            "x-request-id" => Self::XRequestId,
            _ => return None,
        })
    }

    fn name(self) -> HeaderName {
        match self {
            Self::Accept => ACCEPT,
            Self::AcceptEncoding => ACCEPT_ENCODING,
            Self::CacheControl => CACHE_CONTROL,
            Self::ContentLength => CONTENT_LENGTH,
            Self::IfNoneMatch => IF_NONE_MATCH,
            Self::IfRange => IF_RANGE,
            Self::Range => RANGE,
            Self::TransferEncoding => TRANSFER_ENCODING,
            Self::Via => VIA,
            Self::XRequestId => X_REQUEST_ID,
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A request without its body.
pub(super) struct RequestHead {
    pub parts: Parts,
    pub ingress: Ingress,
    /// A bit for each [`Field`].
    present: u16,
}

impl RequestHead {
    pub fn new(parts: Parts, ingress: Ingress) -> Self {
        let mut present = 0;
        for name in parts.headers.keys() {
            if let Some(field) = Field::of(name.as_str()) {
                present |= field.bit();
            }
        }
        Self {
            parts,
            ingress,
            present,
        }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    pub fn has(&self, field: Field) -> bool {
        self.present & field.bit() != 0
    }

    /// The first value of a field.
    pub fn first(&self, field: Field) -> Option<&HeaderValue> {
        match self.has(field) {
            true => self.parts.headers.get(field.name()),
            false => None,
        }
    }

    /// All values of a field, in their order.
    pub fn all(&self, field: Field) -> impl Iterator<Item = &HeaderValue> {
        let values = match self.has(field) {
            true => Some(self.parts.headers.get_all(field.name())),
            false => None,
        };
        values.into_iter().flatten()
    }

    /// The value of a field that a request has once.
    pub fn only(&self, field: Field) -> Option<&HeaderValue> {
        let mut values = self.all(field);
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }

    /// The values of a field that are texts.
    pub fn texts(&self, field: Field) -> impl Iterator<Item = &str> {
        self.all(field).filter_map(|value| value.to_str().ok())
    }
}

#[cfg(test)]
impl RequestHead {
    /// Of a request that came by no connection.
    pub fn of(request: http::request::Builder) -> Self {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Self::new(parts, Ingress::default())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const ALL: [Field; 10] = [
        Field::Accept,
        Field::AcceptEncoding,
        Field::CacheControl,
        Field::ContentLength,
        Field::IfNoneMatch,
        Field::IfRange,
        Field::Range,
        Field::TransferEncoding,
        Field::Via,
        Field::XRequestId,
    ];

    #[test]
    fn each_field_is_found_by_its_name_and_no_other() {
        for field in ALL {
            let request = Request::builder()
                .header("host", "a")
                .header(field.name(), "b");
            let head = RequestHead::of(request);
            for other in ALL {
                assert_eq!(head.first(other).is_some(), other == field, "{other:?}");
            }
            assert_eq!(Field::of(field.name().as_str()), Some(field));
        }
    }

    #[test]
    fn a_field_has_all_its_values_in_their_order() {
        let request = Request::builder()
            .header(VIA, "a")
            .header(VIA, "b")
            .header(RANGE, "c");
        let head = RequestHead::of(request);
        assert!(head.texts(Field::Via).eq(["a", "b"]));
        assert_eq!(head.only(Field::Via), None);
        assert!(head.only(Field::Range).is_some_and(|range| range == "c"));
        assert_eq!(head.all(Field::Accept).count(), 0);
    }
}
