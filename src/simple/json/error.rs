//! Why a JSON page could not be read.
//!
//! Owns the words and the limits they name. Must not know how a page is read.

/// One entry of the list, as written; the largest seen are a few kilobytes.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// `meta` and `project-status`, each.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// White space and the comma between two entries.
pub const SEPARATOR_BYTES_MAX: usize = 64 << 10;

/// Why a page could not be read. Always final: what was not yet taken must not be served.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error("the page is no JSON: expected {expected} at byte {position}")]
    Syntax {
        expected: &'static str,
        position: u64,
    },
    #[error("the page was cut short")]
    Truncated,
    #[error("the page has an entry of more than {ENTRY_BYTES_MAX} bytes")]
    LongEntry,
    #[error("the page has a value of more than {VALUE_BYTES_MAX} bytes at {0:?}")]
    LongValue(&'static str),
    #[error("the page has more than {SEPARATOR_BYTES_MAX} bytes between two entries")]
    LongSeparator,
    #[error("the page's {key:?} cannot be read: {source}")]
    Value {
        key: &'static str,
        source: serde_json::Error,
    },
    #[error("the page has {0:?} twice")]
    Twice(&'static str),
    #[error("the page has no {0:?}")]
    Missing(&'static str),
    #[error("the page is of version {0:?}, which is not known")]
    Version(String),
}
