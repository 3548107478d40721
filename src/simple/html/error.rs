//! Why a page could not be rewritten.
//!
//! Owns the words and the reading of the parser's own errors. Must not know pages.

use std::error::Error;

use lol_html::errors::{ParsingAmbiguityError, RewritingError};

/// What the parser may hold: one unfinished tag, and the elements that are open.
pub const PARSER_BYTES_MAX: usize = 16 << 20;

/// Why a page could not be rewritten. Always final: what was not yet taken must not be served.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    #[error(
        "the page has a tag too long or elements nested too deeply: the parser needs more than {PARSER_BYTES_MAX} bytes"
    )]
    TooComplex,
    #[error("the page can be read in two ways: {0}")]
    Ambiguous(ParsingAmbiguityError),
    #[error("the page sets <base href> after a relative link, which was already passed on")]
    LateBase,
    #[error("the parser and the rewriter disagree about where a tag is")]
    OutOfStep,
    #[error("the page could not be parsed")]
    Parser(#[source] Box<dyn Error + Send + Sync>),
    #[error("the page failed before")]
    Spent,
}

impl From<RewritingError> for HtmlError {
    fn from(error: RewritingError) -> Self {
        match error {
            RewritingError::MemoryLimitExceeded(_) => Self::TooComplex,
            RewritingError::ParsingAmbiguity(error) => Self::Ambiguous(error),
            RewritingError::ContentHandlerError(error) => error
                .downcast::<Self>()
                .map_or_else(Self::Parser, |error| *error),
            other => Self::Parser(Box::new(other)),
        }
    }
}
