//! Addresses of the OSV service: its API as clients know it, below `/-/osv/`.
//!
//! Must not know records.

use http::Method;

/// Where the service is; clients join their own paths to it.
pub const OSV_BASE: &str = "/-/osv/";

/// Longest id in an address.
const ID_BYTES_MAX: usize = 128;

/// What the service is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OsvRequest {
    /// What is known of one package.
    Query,
    /// The ids of what is known of many.
    QueryBatch,
    /// One record, by its id.
    Record(Box<str>),
}

impl OsvRequest {
    /// Reads what follows the base.
    pub(super) fn read(segments: &[&str]) -> Option<Self> {
        match segments {
            ["v1", "query"] => Some(Self::Query),
            ["v1", "querybatch"] => Some(Self::QueryBatch),
            ["v1", "vulns", id] if is_an_id(id) => Some(Self::Record((*id).into())),
            _ => None,
        }
    }

    pub(super) fn path(&self) -> String {
        match self {
            Self::Query => format!("{OSV_BASE}v1/query"),
            Self::QueryBatch => format!("{OSV_BASE}v1/querybatch"),
            Self::Record(id) => format!("{OSV_BASE}v1/vulns/{id}"),
        }
    }

    pub(super) fn method(&self) -> Method {
        match self {
            Self::Query | Self::QueryBatch => Method::POST,
            Self::Record(_) => Method::GET,
        }
    }
}

fn is_an_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    !text.is_empty() && text.len() <= ID_BYTES_MAX && text.bytes().all(fits)
}
