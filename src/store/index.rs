//! cacache's index, one key at a time: the line that counts is found, replaced or ended.
//!
//! Must not know what the lines say. [`index_file`](super::index_file) reads whole files of it.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::StoreError;
use super::layout::Layout;
use crate::values::digest::Digest;

/// A line that counts.
#[derive(Clone, Debug)]
pub struct FoundLine {
    pub digest: Digest,
    pub written: SystemTime,
    pub metadata: Value,
}

impl FoundLine {
    /// What the line says besides its digest, if it is of that form.
    pub fn says<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(&self.metadata).ok()
    }
}

/// The line of this key; one without a sha256 is none of larder's. Blocks, as everything here.
pub fn find(layout: &Layout, key: &str) -> Result<Option<FoundLine>, StoreError> {
    let Some(found) = cacache::index::find(layout.root(), key)? else {
        return Ok(None);
    };
    Ok(digest_of(&found.integrity).map(|digest| FoundLine {
        digest,
        written: since_1970(u64::try_from(found.time).unwrap_or(u64::MAX)),
        metadata: found.metadata,
    }))
}

/// Writes a line for this key, of `bytes` bytes under a digest; as one of another time than now, if
/// that is given.
pub fn insert(
    layout: &Layout,
    key: &str,
    digest: Digest,
    bytes: u64,
    written: Option<SystemTime>,
    metadata: &impl Serialize,
) -> Result<(), StoreError> {
    let mut options = cacache::WriteOpts::new()
        .integrity(integrity(digest))
        .size(usize::try_from(bytes).unwrap_or(usize::MAX))
        .metadata(serde_json::json!(metadata));
    if let Some(written) = written {
        let since = written.duration_since(SystemTime::UNIX_EPOCH);
        options = options.time(since.unwrap_or_default().as_millis());
    }
    cacache::index::insert(layout.root(), key, options)?;
    Ok(())
}

/// Ends this key.
pub fn delete(layout: &Layout, key: &str) -> Result<(), StoreError> {
    Ok(cacache::index::delete(layout.root(), key)?)
}

/// A line's time, which it has in milliseconds.
pub fn since_1970(milliseconds: u64) -> SystemTime {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The sha256 that an integrity names, if it names one.
pub fn digest_of(integrity: &cacache::Integrity) -> Option<Digest> {
    // `to_hex` of one without a hash panics.
    integrity.hashes.first()?;
    match integrity.to_hex() {
        (cacache::Algorithm::Sha256, hex) => Digest::parse(&hex),
        _ => None,
    }
}

#[expect(
    clippy::expect_used,
    reason = "a Digest prints as 64 hex digits, all that from_hex asks for"
)]
pub fn integrity(digest: Digest) -> cacache::Integrity {
    cacache::Integrity::from_hex(digest.to_string(), cacache::Algorithm::Sha256)
        .expect("64 hex digits")
}
