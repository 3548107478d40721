//! Making a wheel's metadata (PEP 658): from the wheel itself, or from spans of it upstream.
//!
//! From the wheel: its bytes had the promised sha256, so that what is made is the wheel's own word, and counts. From
//! spans: nobody could check the wheel's sha256, but what is advertised can be kept, because the bytes are ours then.
//! They are stored whole, agreed with the archive's CRC-32 and lengths, name the project and version of the file, and
//! are delivered under their own sha256, the advertised one. They belong to the address they were read at and are
//! shown at no other, since another project's file under the same digest may hold anything; whoever can make that
//! address yield a lying wheel gains nothing, for the wheel then fails its own sha256. As soon as the wheel is verified
//! at that address, what is made of it takes their place.
//!
//! Must not know who may have metadata, or when it is wanted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use super::error::FileError;
use super::metadata_config::MetadataConfig;
use super::ranges::Ranges;
use super::spans::{self, SpansError};
use super::tail::Tail;
use crate::access::Credential;
use crate::registry::FileRef;
use crate::simple::WheelFilename;
use crate::store::{BlobLookup, MetadataOrigin, Store, StoreError, WheelMark};
use crate::upstream::{PassThrough, Upstream};
use crate::values::byte_range::Extent;
use crate::values::clock;
use crate::values::digest::Digest;
use crate::wheel::{self, Unreadable};

/// A wheel's bytes, verified.
pub(super) type Verified = (Arc<File>, u64);

/// Why a wheel that is here yields no metadata.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the wheel cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of metadata that is not here.
#[derive(Clone)]
pub(super) enum Remade {
    As(Digest),
    /// The verified wheel has none.
    Nothing,
    Refused(PassThrough),
    /// Who leads the wheel's download was refused, which says nothing about anybody else.
    RefusedToAnother,
    /// It is known now, and the store cannot take it.
    Unkept(Bytes),
    Failed(FileError),
}

/// Makes metadata, and knows which upstreams are of no help.
pub(super) struct Maker {
    config: MetadataConfig,
    upstream: Arc<Upstream>,
    store: Arc<Store>,
    ranges: Arc<Ranges>,
    /// One wheel at a time: an archive's directory can be megabytes.
    making: Mutex<()>,
}

impl Maker {
    pub(super) fn new(
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
            making: Mutex::default(),
        }
    }

    pub(super) fn config(&self) -> &MetadataConfig {
        &self.config
    }

    /// The digest of the metadata that was made of this wheel.
    pub(super) async fn known(&self, file: &FileRef) -> Option<Digest> {
        let (store, mark) = (Arc::clone(&self.store), WheelMark::of(file));
        tokio::task::spawn_blocking(move || store.sidecars.find(mark))
            .await
            .ok()
            .flatten()
    }

    /// Makes and keeps the metadata of a wheel whose bytes were verified at this address. Blocks.
    pub(super) fn make(
        &self,
        file: &FileRef,
        (bytes, size): &Verified,
    ) -> Result<Digest, MakeError> {
        let mark = WheelMark::of(file);
        let read = |span: Extent| {
            let mut piece = vec![0; usize::try_from(span.bytes()).unwrap_or(usize::MAX)];
            bytes.read_exact_at(&mut piece, span.start).map(|()| piece)
        };
        let _one_at_a_time = self.making.lock();
        let extracted = match WheelFilename::parse(file.filename.as_str()) {
            Some(wheel) => wheel::extract(wheel, *size, read)?,
            None => Err(Unreadable::FileName),
        };
        match extracted {
            Ok(metadata) => Ok(self.store.keep_sidecar(
                mark,
                &metadata,
                MetadataOrigin::Verified,
                clock::now(),
            )?),
            Err(why) => {
                self.store.sidecars.retract(mark)?;
                Err(why.into())
            }
        }
    }

    /// Of the wheel's own bytes.
    pub(super) async fn of_wheel(
        self: &Arc<Self>,
        file: &FileRef,
        wheel: Verified,
    ) -> Option<Digest> {
        let (this, owned) = (Arc::clone(self), file.clone());
        let made = tokio::task::spawn_blocking(move || this.make(&owned, &wheel))
            .await
            .ok()?;
        made.inspect_err(|why| tell(file, why)).ok()
    }

    /// The wheel, if this address is known to yield it and it is here, checked already.
    pub(super) async fn held(&self, file: &FileRef, now: Instant) -> Option<Verified> {
        self.store.catalog.find(file).await.ok()??;
        match self.store.blobs.open(file.digest, now).ok()? {
            BlobLookup::Whole(blob) => Some((Arc::clone(blob.file()), blob.size())),
            BlobLookup::Checking(partial) => {
                let size = partial.begin(true).await.ok()??;
                Some((Arc::clone(partial.file()), size))
            }
            BlobLookup::Absent => None,
        }
    }

    /// Whether what is made could be kept just now.
    pub(super) fn can_keep(&self, now: Instant) -> bool {
        !self.store.is_backing_off(now)
    }

    /// The end of the wheel, asked of upstream in this name.
    pub(super) async fn tail(
        &self,
        file: &FileRef,
        credential: &Credential,
    ) -> Result<Tail, SpansError> {
        if self.ranges.none(&file.scope) {
            return Err(SpansError::NoRanges);
        }
        let read = spans::tail(
            (&self.upstream, &self.ranges),
            credential,
            file,
            self.config.size.0,
        )
        .await;
        if matches!(read, Err(SpansError::NoRanges)) {
            self.ranges.note_none(&file.scope);
        }
        read
    }

    /// Of the wheel's end, and of what of it has to be asked of upstream besides, in this name.
    pub(super) async fn of_tail(
        &self,
        file: &FileRef,
        credential: &Credential,
        tail: &Tail,
    ) -> Result<Digest, SpansError> {
        let upstream = (&*self.upstream, &*self.ranges);
        let metadata =
            spans::metadata(upstream, credential, file, tail, self.config.size.0).await?;
        let (store, mark) = (Arc::clone(&self.store), WheelMark::of(file));
        let metadata = Bytes::from(metadata);
        let kept = metadata.clone();
        let keep = move || store.keep_sidecar(mark, &kept, MetadataOrigin::Read, clock::now());
        let kept = tokio::task::spawn_blocking(keep)
            .await
            .unwrap_or(Err(StoreError::Interrupted));
        kept.map_err(|why| {
            tracing::warn!(wheel = %file.filename, error = %why, "a wheel's metadata was read and cannot be kept");
            SpansError::Unkept(metadata)
        })
    }
}

/// Says why a wheel that is here has no metadata here.
pub(super) fn tell(file: &FileRef, why: &MakeError) {
    match why {
        MakeError::Unreadable(_) => {
            tracing::info!(wheel = %file.filename, error = %why, "a wheel yields no metadata")
        }
        MakeError::Read(_) | MakeError::Store(_) => {
            tracing::warn!(wheel = %file.filename, error = %why, "a wheel's metadata cannot be made");
        }
    }
}
