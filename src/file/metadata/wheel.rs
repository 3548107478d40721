//! A wheel that is here or on its way here, once every byte of it is known to be right, and the
//! metadata of it.
//!
//! Must not know which caller wants it.

use std::sync::Arc;
use std::time::Instant;

use super::generator::{MetadataOutcome, VerifiedWheel};
use crate::file::download::{Download, DownloadStart, Downloads};
use crate::file::error::FileError;
use crate::file::request::FileSource;
use crate::file::stored::stored;
use crate::registry::FileRef;
use crate::store::Cause;
use crate::values::clock;
use crate::values::digest::Digest;

/// The metadata of the wheel that is being downloaded, for the caller in whose name it is (`leads`)
/// or for another.
pub async fn metadata_of(
    downloads: &Downloads,
    file: &FileRef,
    download: &Download,
    leads: bool,
) -> MetadataOutcome {
    let wheel = match download.started().await {
        DownloadStart::Streaming { partial, .. } => {
            match verified(FileSource::Partial(partial, None)).await {
                Ok(wheel) => Some(wheel),
                Err(cause) => return MetadataOutcome::Failed(FileError::Body(cause)),
            }
        }
        DownloadStart::Stored => stored_wheel(downloads, file, clock::now()).await,
        DownloadStart::Refused(answer) if leads => return MetadataOutcome::Refused(answer),
        DownloadStart::Refused(_) => return MetadataOutcome::RefusedToAnother,
        DownloadStart::Unstorable(_) => None,
        DownloadStart::Failed(why) => return MetadataOutcome::Failed(why),
    };
    let Some(wheel) = wheel else {
        return MetadataOutcome::Failed(FileError::Internal);
    };
    match downloads.generator.of_wheel(file, wheel).await {
        Some(digest) => MetadataOutcome::Generated(digest),
        None => MetadataOutcome::Nothing,
    }
}

/// What another larder of the fleet made of the wheel at this address, kept here.
pub async fn shared_metadata(downloads: &Downloads, file: &FileRef) -> Option<Digest> {
    let shared = downloads.shared.as_ref()?;
    let bytes_max = downloads.generator.config.size.bytes();
    let metadata = shared.metadata(file, bytes_max).await?;
    downloads.generator.of_fleet(file, metadata).await
}

/// The wheel, if this address is known to yield it and it is here.
pub async fn stored_wheel(
    downloads: &Downloads,
    file: &FileRef,
    now: Instant,
) -> Option<VerifiedWheel> {
    let (wheel, _) = stored(&downloads.store, file, now).await?;
    verified(wheel).await.ok()
}

/// The wheel's bytes, once every one of them is here and right.
pub async fn verified(wheel: FileSource) -> Result<VerifiedWheel, Cause> {
    match wheel {
        FileSource::Blob(blob) => Ok(VerifiedWheel {
            file: Arc::clone(blob.file()),
            size: blob.size(),
        }),
        FileSource::Partial(partial, _) => {
            let size = partial.begin(true).await?;
            Ok(VerifiedWheel {
                file: Arc::clone(partial.file()),
                size: size.unwrap_or_else(|| partial.written()),
            })
        }
    }
}
