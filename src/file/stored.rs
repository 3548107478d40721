//! What the store has at an address.
//!
//! An address counts only with its own line in the catalogue: a blob that came from another address
//! is not shown at it. Must not ask upstream.

use std::sync::Arc;
use std::time::Instant;

use super::request::FileSource;
use crate::registry::FileRef;
use crate::store::{BlobLookup, Store};
use crate::upstream::Validators;

/// The bytes, if this address is known to yield them and they are here; and the validators to ask
/// about it with.
pub(super) async fn stored(
    store: &Arc<Store>,
    file: &FileRef,
    now: Instant,
) -> Option<(FileSource, Validators)> {
    let entry = match store.catalog.find(file).await {
        Ok(entry) => entry?,
        Err(why) => {
            tracing::warn!(error = %why, "the catalogue cannot be read");
            return None;
        }
    };
    let validators = Validators::of_text(entry.etag.as_deref(), entry.last_modified.as_deref());
    match store.blobs.open(file.digest, now) {
        Ok(BlobLookup::Whole(blob)) => Some((FileSource::Blob(blob), validators)),
        Ok(BlobLookup::Checking(partial)) => Some((FileSource::Partial(partial, None), validators)),
        Ok(BlobLookup::Absent) => None,
        Err(why) => {
            tracing::warn!(error = %why, "a stored file cannot be opened");
            None
        }
    }
}

pub(super) async fn is_stored(store: &Arc<Store>, file: &FileRef, now: Instant) -> bool {
    stored(store, file, now).await.is_some()
}
