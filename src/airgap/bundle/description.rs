//! What a bundle says of itself: `bundle.json`.
//!
//! Must not know what the manifest lists.

use serde::{Deserialize, Serialize};

use super::error::BundleError;
use super::{DESCRIPTION, DESCRIPTION_BYTES_MAX, FORMAT};
use crate::registry::policy::ExceptionConfig;
use crate::values::digest::Digest;

/// Most parts of one bundle.
pub const PARTS_MAX: u32 = 999;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub format: u32,
    /// The sha256 of the manifest; all parts of a bundle share it.
    pub id: Digest,
    /// By RFC 3339, in UTC.
    pub created: String,
    /// Version of the larder that wrote it.
    pub larder: String,
    /// The id of the bundle that must have been imported before; `None` stands on its own.
    pub base: Option<Digest>,
    /// The named set that was exported; `None` is everything.
    pub set: Option<String>,
    pub part: Part,
    pub files: u64,
    pub pages: u64,
    /// Blobs in this part.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// What policies of the larder that wrote it let pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<ExceptionConfig>,
}

/// One tar of those that make up a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// From 1.
    pub number: u32,
    pub of: u32,
}

impl Part {
    pub const WHOLE: Self = Self { number: 1, of: 1 };
}

impl Description {
    pub(super) fn to_json(&self) -> Result<Vec<u8>, BundleError> {
        let text = serde_json::to_vec_pretty(self);
        let mut text = text.map_err(invalid)?;
        text.push(b'\n');
        Ok(text)
    }

    pub(super) fn read(text: &[u8]) -> Result<Self, BundleError> {
        if text.len() as u64 > DESCRIPTION_BYTES_MAX {
            return Err(BundleError::TooLarge {
                item: DESCRIPTION.to_owned(),
                limit: DESCRIPTION_BYTES_MAX,
            });
        }
        /// What every version must say.
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let versioned: Versioned = serde_json::from_slice(text).map_err(invalid)?;
        if versioned.format != FORMAT {
            return Err(BundleError::Version(versioned.format));
        }
        let read: Self = serde_json::from_slice(text).map_err(invalid)?;
        let Part { number, of } = read.part;
        if number == 0 || number > of || of > PARTS_MAX {
            let why = format!("there is no part {number} of {of}");
            return Err(BundleError::invalid(DESCRIPTION, why));
        }
        Ok(read)
    }
}

fn invalid(why: serde_json::Error) -> BundleError {
    BundleError::invalid(DESCRIPTION, why)
}
