//! Why a bundle is refused. Each fault names the item that is wrong.

use std::fmt;
use std::io;

use super::FORMAT;

#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{0}: the bundle ends in the middle of it")]
    Cut(String),
    #[error("{0}: its header is not as larder writes it, or it is not what should be here")]
    Header(String),
    #[error("{0}: what pads it is not zeros")]
    Padding(String),
    #[error("{0}: its bytes do not have the sha256 they should have")]
    Digest(String),
    #[error("{item}: {why}")]
    Invalid { item: String, why: String },
    #[error("{item}: larger than {limit} bytes")]
    TooLarge { item: String, limit: u64 },
    #[error(
        "bundle.json: the bundle is of format {0}, this larder reads format {FORMAT}; \
         use a newer one"
    )]
    Version(u32),
    #[error("the end of the bundle: {0}")]
    End(&'static str),
    #[error("the bundle cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("{item}: cannot be kept: {why}")]
    Keep { item: String, why: io::Error },
    #[error("the bundle cannot be written: {0}")]
    Write(#[source] io::Error),
}

impl BundleError {
    pub(in crate::airgap) fn invalid(item: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::Invalid {
            item: item.into(),
            why: why.to_string(),
        }
    }
}
