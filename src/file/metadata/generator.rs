//! Making a wheel's metadata (PEP 658): from the wheel itself, or from ranges of it upstream.
//!
//! From the wheel: its bytes had the promised sha256, so that what is made is the wheel's own, and
//! counts. From ranges: the wheel's sha256 cannot be checked, but what is advertised can be kept,
//! because the bytes are ours then. They are stored whole, agreed with the archive's CRC-32 and
//! lengths, name the project and version of the file, and are delivered under their own sha256, the
//! advertised one. They belong to the address they were read at and are shown at no other, since
//! another project's file under the same digest may hold anything; an attacker who can make that
//! address yield a lying wheel gains nothing, for the wheel then fails its own sha256. As soon as
//! the wheel is verified at that address, what is made of it takes their place.
//!
//! Must not know who may have metadata, or when it is wanted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::remote::{self, ReadWheel, RemoteError};
use super::wheel_reads::{ReadMetadata, WheelReads};
use crate::access::Credential;
use crate::file::config::MetadataConfig;
use crate::file::download::tail::Tail;
use crate::file::error::FileError;
use crate::file::ranges::Ranges;
use crate::registry::FileRef;
use crate::simple::WheelFilename;
use crate::store::{MetadataOrigin, Store, StoreError, WheelMark};
use crate::upstream::{PassThrough, Upstream};
use crate::values::byte_range::Extent;
use crate::values::clock;
use crate::values::correlation;
use crate::values::digest::Digest;
use crate::wheel::{self, UnreadableWheel};

/// A wheel's bytes, every one of them verified.
pub struct VerifiedWheel {
    pub file: Arc<File>,
    pub size: u64,
}

/// Why a wheel that is here yields no metadata.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Unreadable(#[from] UnreadableWheel),
    #[error("the wheel cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of metadata that is not here.
#[derive(Clone)]
pub enum MetadataOutcome {
    Generated(Digest),
    /// The verified wheel has none.
    Nothing,
    Refused(PassThrough),
    /// The caller that leads the wheel's download was refused, which says nothing about another
    /// caller.
    RefusedToAnother,
    /// It is known now, and the store cannot take it.
    Unkept(Bytes),
    Failed(FileError),
}

/// Makes metadata, of wheels that are here or of their ends upstream.
pub struct MetadataGenerator {
    pub config: MetadataConfig,
    upstream: Arc<Upstream>,
    store: Arc<Store>,
    ranges: Arc<Ranges>,
    reads: WheelReads,
    /// Held while it is found out what a wheel requires.
    pub turn: tokio::sync::Mutex<()>,
}

impl MetadataGenerator {
    pub fn new(
        config: MetadataConfig,
        upstream: Arc<Upstream>,
        store: Arc<Store>,
        ranges: Arc<Ranges>,
    ) -> Self {
        Self {
            config,
            upstream,
            store,
            ranges,
            reads: WheelReads::new(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The digest of the metadata that was made of this wheel.
    pub async fn known(&self, file: &FileRef) -> Option<Digest> {
        let store = Arc::clone(&self.store);
        let mark = WheelMark::of(file);
        let found = correlation::spawn_blocking(move || store.metadata_index.find(mark)).await;
        found.ok().flatten()
    }

    /// Makes and keeps the metadata of a wheel whose bytes were verified at this address. Blocks.
    pub fn generate(&self, file: &FileRef, wheel: &VerifiedWheel) -> Result<Digest, GenerateError> {
        let mark = WheelMark::of(file);
        match self.read(file, wheel)? {
            Ok(metadata) => {
                let now = clock::now();
                let kept = self
                    .store
                    .keep_metadata(mark, &metadata, MetadataOrigin::Verified, now);
                Ok(kept?)
            }
            Err(why) => {
                self.store.metadata_index.retract(mark)?;
                Err(why.into())
            }
        }
    }

    /// Reads the metadata of a wheel that is here. Blocks.
    pub fn read(&self, file: &FileRef, wheel: &VerifiedWheel) -> io::Result<ReadMetadata> {
        let read = |span: Extent| {
            let mut piece = vec![0; usize::try_from(span.bytes()).unwrap_or(usize::MAX)];
            wheel.file.read_exact_at(&mut piece, span.start)?;
            Ok::<_, io::Error>(piece)
        };
        let Some(name) = WheelFilename::parse(file.filename.as_str()) else {
            return Ok(Err(UnreadableWheel::FileName));
        };
        self.reads
            .once(file, || wheel::extract(name, wheel.size, read))
    }

    /// Of the wheel's own bytes.
    pub async fn of_wheel(
        self: &Arc<Self>,
        file: &FileRef,
        wheel: VerifiedWheel,
    ) -> Option<Digest> {
        let this = Arc::clone(self);
        let owned = file.clone();
        let generate = move || this.generate(&owned, &wheel);
        match correlation::spawn_blocking(generate).await.ok()? {
            Ok(digest) => Some(digest),
            Err(why) => {
                log_failure(file, &why);
                None
            }
        }
    }

    /// Keeps what another larder made of the verified wheel.
    pub async fn of_fleet(&self, file: &FileRef, metadata: Bytes) -> Option<Digest> {
        let store = Arc::clone(&self.store);
        let mark = WheelMark::of(file);
        // Its word and no more, until the wheel is here.
        let keep = move || store.keep_metadata(mark, &metadata, MetadataOrigin::Read, clock::now());
        match correlation::spawn_blocking(keep).await.ok()? {
            Ok(digest) => Some(digest),
            Err(why) => {
                tracing::warn!(wheel = %file.filename, error = %why, "a wheel's metadata came from the shared store and cannot be kept");
                None
            }
        }
    }

    /// Whether what is made could be kept just now.
    pub fn can_keep(&self, now: Instant) -> bool {
        !self.store.is_backing_off(now)
    }

    /// So many bytes at the end of the wheel, asked of upstream in this name.
    pub async fn tail(
        &self,
        file: &FileRef,
        credential: &Credential,
        bytes: u64,
    ) -> Result<Tail, RemoteError> {
        if self.ranges.none(&file.scope) {
            return Err(RemoteError::NoRanges);
        }
        if bytes > self.config.size.0 {
            return Err(RemoteError::TooMuch);
        }
        let upstream = (&*self.upstream, &*self.ranges);
        let read = remote::tail(upstream, credential, file, bytes).await;
        if matches!(read, Err(RemoteError::NoRanges)) {
            self.ranges.note_none(&file.scope);
        }
        read
    }

    /// Of the wheel's end, and of what of it has to be asked of upstream besides, in this name.
    pub async fn of_tail(
        &self,
        file: &FileRef,
        credential: &Credential,
        tail: &Tail,
    ) -> Result<Digest, RemoteError> {
        let limit = remote::READ_TIMEOUT;
        let read = self.read_from(file, credential, tail, limit).await?;
        self.keep_read(file, read.metadata).await
    }

    /// Reads the metadata of the wheel that this is the end of, asking upstream in this name for
    /// what is not in there, within `limit`.
    pub async fn read_from(
        &self,
        file: &FileRef,
        credential: &Credential,
        tail: &Tail,
        limit: Duration,
    ) -> Result<ReadWheel, RemoteError> {
        let upstream = (&*self.upstream, &*self.ranges);
        remote::metadata(upstream, credential, file, tail, self.config.size.0, limit).await
    }

    /// Keeps metadata that was read for a client, if metadata is made at all and none is known yet.
    pub async fn keep_by_the_way(&self, file: &FileRef, metadata: Vec<u8>) {
        if self.config.generate && self.can_keep(clock::now()) && self.known(file).await.is_none() {
            // What cannot be kept is told where it is tried.
            drop(self.keep_read(file, metadata).await);
        }
    }

    async fn keep_read(&self, file: &FileRef, metadata: Vec<u8>) -> Result<Digest, RemoteError> {
        let store = Arc::clone(&self.store);
        let mark = WheelMark::of(file);
        let metadata = Bytes::from(metadata);
        let kept = metadata.clone();
        let keep = move || store.keep_metadata(mark, &kept, MetadataOrigin::Read, clock::now());
        let kept = correlation::spawn_blocking(keep)
            .await
            .unwrap_or(Err(StoreError::Interrupted));
        kept.map_err(|why| {
            tracing::warn!(wheel = %file.filename, error = %why, "a wheel's metadata was read and cannot be kept");
            RemoteError::Unkept(metadata)
        })
    }
}

/// Says why a wheel that is here has no metadata here.
pub fn log_failure(file: &FileRef, why: &GenerateError) {
    match why {
        GenerateError::Unreadable(_) => {
            tracing::info!(wheel = %file.filename, error = %why, "a wheel yields no metadata")
        }
        GenerateError::Read(_) | GenerateError::Store(_) => {
            tracing::warn!(wheel = %file.filename, error = %why, "a wheel's metadata cannot be made");
        }
    }
}
