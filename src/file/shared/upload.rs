//! One file's way into the shared store: its bytes, its metadata, and last what its address yielded,
//! so that no fact ever names bytes that are not there.
//!
//! What is there already is not sent again. The bytes are hashed once more on their way: what a disk
//! damaged meanwhile must not travel. Must not know when, or how often it is tried.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::counts::{SharedStoreCounts, UploadEnd};
use super::distrusted::Distrusted;
use crate::registry::FileRef;
use crate::store::{Blob, BlobLookup, Store, WheelMark};
use crate::upstream::{AddressFact, BlobUpload, SharedStore, SharedStoreError, Upstream};
use crate::values::digest::{Digest, Hasher};
use crate::values::{clock, correlation};

pub struct Uploader {
    pub remote: Arc<SharedStore>,
    pub upstream: Arc<Upstream>,
    pub store: Arc<Store>,
    pub counts: Arc<SharedStoreCounts>,
    pub distrusted: Arc<Distrusted>,
}

/// Bytes read at a time.
const PIECE_BYTES: u64 = 64 << 10;

const DAMAGED: SharedStoreError =
    SharedStoreError::Wrong("the stored file cannot be read, or was damaged");

impl Uploader {
    /// # Errors
    /// What kept it from being there.
    pub async fn upload(&self, file: &FileRef) -> Result<UploadEnd, SharedStoreError> {
        let entry = match self.store.catalog.find(file).await {
            Ok(Some(entry)) => entry,
            Ok(None) | Err(_) => return Ok(UploadEnd::Lost),
        };
        let mut fact = AddressFact {
            sha256: file.digest,
            size: entry.size,
            etag: entry.etag.clone(),
            last_modified: entry.last_modified.clone(),
            metadata: self.metadata(file).await,
        };
        let anew = self.distrusted.contains(file.digest);
        let metadata_anew = match fact.metadata {
            Some(metadata) => self.distrusted.contains(metadata),
            None => false,
        };
        let is_trusted = !anew && !metadata_anew;
        let name = self.upstream.shared_name(&self.remote, file);
        // Asked first, so that a bucket that is not there is not made by the first upload.
        match self.remote.fact(&name).await {
            Ok(known) if is_trusted && known.sha256 == fact.sha256 && known.size == fact.size => {
                if known.metadata.is_some() || fact.metadata.is_none() {
                    return Ok(UploadEnd::Present);
                }
            }
            Ok(_) | Err(SharedStoreError::Absent | SharedStoreError::Wrong(_)) => {}
            Err(why) => return Err(why),
        }
        if !self.put(file.digest, anew).await? {
            return Ok(UploadEnd::Lost);
        }
        if let Some(metadata) = fact.metadata
            && !self.put(metadata, metadata_anew).await?
        {
            fact.metadata = None;
        }
        self.remote.put_fact(&name, &fact).await?;
        self.distrusted.remove(file.digest);
        if let Some(metadata) = fact.metadata {
            self.distrusted.remove(metadata);
        }
        Ok(UploadEnd::Completed)
    }

    /// The digest of what was made of this wheel, once its bytes were verified: the fleet takes it
    /// for that.
    async fn metadata(&self, file: &FileRef) -> Option<Digest> {
        if !file.filename.is_wheel() {
            return None;
        }
        let store = Arc::clone(&self.store);
        let mark = WheelMark::of(file);
        let find = move || store.metadata_index.find_verified(mark);
        let found = correlation::spawn_blocking(find).await;
        found.ok().flatten()
    }

    /// Puts a blob of the local store there, unless it is; false if the local store has none.
    async fn put(&self, digest: Digest, anew: bool) -> Result<bool, SharedStoreError> {
        let Some(blob) = self.blob(digest).await else {
            return Ok(false);
        };
        if !anew {
            match self.remote.blob_size(digest).await {
                Ok(size) if size == blob.size() => return Ok(true),
                Ok(_) | Err(SharedStoreError::Absent) => {}
                Err(why) => return Err(why),
            }
        }
        let part = self.remote.config.part_size.0;
        if blob.size() <= part {
            let (pieces, hasher) = read(&blob, 0, blob.size(), Hasher::new()).await?;
            if hasher.finish() != digest {
                return Err(DAMAGED);
            }
            self.remote.put_blob(digest, pieces).await?;
        } else {
            let mut upload = self.remote.upload_blob(digest).await?;
            if let Err(why) = put_parts(&mut upload, &blob, part).await {
                upload.abort().await;
                return Err(why);
            }
            upload.complete().await?;
        }
        self.counts.uploaded(blob.size());
        Ok(true)
    }

    async fn blob(&self, digest: Digest) -> Option<Arc<Blob>> {
        let opened = self.store.blobs.open(digest, clock::now()).ok()?;
        match opened {
            BlobLookup::Whole(blob) => return Some(blob),
            BlobLookup::Checking(partial) => drop(partial.begin(true).await.ok()?),
            BlobLookup::Absent => return None,
        }
        match self.store.blobs.open(digest, clock::now()).ok()? {
            BlobLookup::Whole(blob) => Some(blob),
            BlobLookup::Checking(_) | BlobLookup::Absent => None,
        }
    }
}

async fn put_parts(
    upload: &mut BlobUpload<'_>,
    blob: &Arc<Blob>,
    part: u64,
) -> Result<(), SharedStoreError> {
    let mut hasher = Hasher::new();
    let mut start = 0;
    while start < blob.size() {
        let length = part.min(blob.size() - start);
        let (pieces, hashed) = read(blob, start, length, hasher).await?;
        hasher = hashed;
        start += length;
        // Before the last part goes, so that nothing wrong can be completed.
        if start == blob.size() && hasher.clone().finish() != blob.digest() {
            return Err(DAMAGED);
        }
        upload.part(pieces).await?;
    }
    Ok(())
}

/// A part of a blob in small pieces, whose memory goes back to the system, and the hash up to its end.
async fn read(
    blob: &Arc<Blob>,
    start: u64,
    length: u64,
    mut hasher: Hasher,
) -> Result<(Vec<Bytes>, Hasher), SharedStoreError> {
    let file = Arc::clone(blob.file());
    let read = correlation::spawn_blocking(move || {
        let mut pieces = Vec::new();
        let mut position = start;
        let end = start + length;
        while position < end {
            let wanted = PIECE_BYTES.min(end - position);
            let mut piece = vec![0; usize::try_from(wanted).unwrap_or_default()];
            file.read_exact_at(&mut piece, position)?;
            hasher.update(&piece);
            pieces.push(Bytes::from(piece));
            position += wanted;
        }
        Ok::<_, std::io::Error>((pieces, hasher))
    });
    match read.await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(_)) | Err(_) => Err(DAMAGED),
    }
}
