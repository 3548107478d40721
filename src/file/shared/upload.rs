//! One file's way into the shared store: its bytes, its metadata, and last what its address yielded,
//! so that no fact ever names bytes that are not there.
//!
//! What is there already is not sent again; a fact alone is no sign of it. The bytes are hashed
//! once more on their way: what a disk damaged meanwhile must not travel. Must not know when, or how
//! often it is tried.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::counts::{SharedStoreCounts, UploadEnd};
use super::distrusted::Distrusted;
use crate::registry::FileRef;
use crate::store::{Blob, BlobLookup, CatalogEntry, Store, WheelMark};
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
const PIECE_BYTES: usize = 64 << 10;

const DAMAGED: SharedStoreError =
    SharedStoreError::Wrong("the stored file cannot be read, or was damaged");

impl Uploader {
    /// # Errors
    /// What kept it from being there.
    pub async fn upload(&self, file: &FileRef) -> Result<UploadEnd, SharedStoreError> {
        let Some(entry) = self.entry(file).await? else {
            return Ok(UploadEnd::Lost);
        };
        let mut fact = AddressFact {
            sha256: file.digest,
            size: entry.size,
            etag: entry.etag.clone(),
            last_modified: entry.last_modified.clone(),
            metadata: self.metadata(file).await,
        };
        // A wheel's metadata is distrusted with it alone.
        let anew = self.distrusted.is_wrong(file.digest);
        let name = self.upstream.shared_name(&self.remote, file);
        // Asked first, so that a bucket that is not there is not made by the first upload.
        match self.remote.fact(&name).await {
            Ok(known) => {
                if !anew && self.is_there(&known, &fact).await? {
                    return Ok(UploadEnd::Present);
                }
            }
            Err(SharedStoreError::Absent | SharedStoreError::Wrong(_)) => {}
            Err(why) => return Err(why),
        }
        if !self.put(file.digest, anew).await? {
            return Ok(UploadEnd::Lost);
        }
        if let Some(metadata) = fact.metadata
            && !self.put(metadata, anew).await?
        {
            fact.metadata = None;
        }
        if !self.publish(file, &name, &fact).await? {
            return Ok(UploadEnd::Lost);
        }
        self.distrusted.remove(file.digest);
        if let Some(metadata) = fact.metadata {
            self.distrusted.remove(metadata);
        }
        Ok(UploadEnd::Completed)
    }

    /// What is known of the file here; none if its address was purged, or is being.
    async fn entry(&self, file: &FileRef) -> Result<Option<Arc<CatalogEntry>>, SharedStoreError> {
        if self.store.upload_journal.is_held_back(file) {
            return Ok(None);
        }
        let found = self.store.catalog.find(file).await;
        found.map_err(|why| SharedStoreError::Failed(why.to_string()))
    }

    /// Whether the fleet knows as much of the address, and the bucket still has the bytes: a rule
    /// of the bucket's, or a person, may have taken them from under the fact.
    async fn is_there(
        &self,
        known: &AddressFact,
        fact: &AddressFact,
    ) -> Result<bool, SharedStoreError> {
        let is_same = known.sha256 == fact.sha256 && known.size == fact.size;
        if !is_same || !self.has(known.sha256, Some(known.size)).await? {
            return Ok(false);
        }
        let Some(metadata) = known.metadata else {
            return Ok(fact.metadata.is_none());
        };
        let here = self.blob(metadata).await;
        self.has(metadata, here.map(|blob| blob.size())).await
    }

    /// Whether the bucket has a blob, of this size if one is known.
    async fn has(&self, digest: Digest, size: Option<u64>) -> Result<bool, SharedStoreError> {
        match self.remote.blob_size(digest).await {
            Ok(there) => Ok(size.is_none_or(|size| size == there)),
            Err(SharedStoreError::Absent) => Ok(false),
            Err(why) => Err(why),
        }
    }

    /// Says what an address yielded; false if it was purged since the upload began: what a purge
    /// took back must not come again. The second look is for a purge between the first one and the
    /// answer.
    async fn publish(
        &self,
        file: &FileRef,
        name: &str,
        fact: &AddressFact,
    ) -> Result<bool, SharedStoreError> {
        if self.entry(file).await?.is_none() {
            return Ok(false);
        }
        self.remote.put_fact(name, fact).await?;
        if self.entry(file).await?.is_some() {
            return Ok(true);
        }
        let removed = self.remote.remove_fact(name).await;
        if let Err(why) = removed {
            tracing::error!(file = %file.filename, error = %why, "a file was purged while it was uploaded, and the shared store may still know it: download it here and purge it once more with --shared");
        }
        Ok(false)
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
        if !anew && self.has(digest, Some(blob.size())).await? {
            return Ok(true);
        }
        let part = self.remote.config.part_size.0;
        if blob.size() <= part {
            let (pieces, hasher) = read(&blob, 0, blob.size(), Hasher::new(), Vec::new()).await?;
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
    let mut buffers = Vec::new();
    while start < blob.size() {
        let length = part.min(blob.size() - start);
        let (pieces, hashed) = read(blob, start, length, hasher, buffers).await?;
        hasher = hashed;
        start += length;
        // Before the last part goes, so that nothing wrong can be completed.
        if start == blob.size() && hasher.clone().finish() != blob.digest() {
            return Err(DAMAGED);
        }
        upload.part(pieces.clone()).await?;
        buffers = freed(pieces);
    }
    Ok(())
}

/// The memory of pieces that were sent, for the next ones.
fn freed(pieces: Vec<Bytes>) -> Vec<BytesMut> {
    let mut buffers = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if let Ok(buffer) = piece.try_into_mut() {
            buffers.push(buffer);
        }
    }
    buffers
}

/// A part of a blob in small pieces, in `buffers` as far as they go, and the hash up to its end.
async fn read(
    blob: &Arc<Blob>,
    start: u64,
    length: u64,
    mut hasher: Hasher,
    mut buffers: Vec<BytesMut>,
) -> Result<(Vec<Bytes>, Hasher), SharedStoreError> {
    let count = usize::try_from(length.div_ceil(PIECE_BYTES as u64)).unwrap_or_default();
    // Allocated here, where downloads allocate and free theirs: the C library's allocator keeps what
    // is freed apart for each thread that asked for it, and there are many blocking threads.
    buffers.resize_with(count, || BytesMut::with_capacity(PIECE_BYTES));
    let file = Arc::clone(blob.file());
    let read = correlation::spawn_blocking(move || {
        let mut pieces = Vec::with_capacity(count);
        let mut position = start;
        let end = start + length;
        for mut piece in buffers {
            let left = usize::try_from(end - position).unwrap_or(PIECE_BYTES);
            piece.resize(PIECE_BYTES.min(left), 0);
            file.read_exact_at(&mut piece, position)?;
            hasher.update(&piece);
            position += piece.len() as u64;
            pieces.push(piece.freeze());
        }
        Ok::<_, std::io::Error>((pieces, hasher))
    });
    match read.await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(_)) | Err(_) => Err(DAMAGED),
    }
}
