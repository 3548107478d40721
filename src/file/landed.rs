//! A wheel that is here or on its way here, once every byte of it is known to be right, and the metadata of it.
//!
//! Must not know who wants it.

use std::sync::Arc;

use super::error::FileError;
use super::flight::{Flight, Head};
use super::metadata::{Maker, Remade, Verified};
use super::request::Source;
use crate::registry::FileRef;
use crate::store::Cause;
use crate::values::clock;

/// Of the wheel that is being downloaded, by who asks for it or for somebody else.
pub(super) async fn made_of(
    maker: &Arc<Maker>,
    file: &FileRef,
    flight: &Flight,
    leads: bool,
) -> Remade {
    let wheel = match flight.head().await {
        Head::Flying { partial, .. } => match verified(Source::PartialFile(partial, None)).await {
            Ok(wheel) => Some(wheel),
            Err(cause) => return Remade::Failed(FileError::Body(cause)),
        },
        Head::Here => maker.held(file, clock::now()).await,
        Head::Refused(relayed) if leads => return Remade::Refused(relayed),
        Head::Refused(_) => return Remade::RefusedToAnother,
        Head::Unstorable(_) => None,
        Head::Failed(why) => return Remade::Failed(why),
    };
    let Some(wheel) = wheel else {
        return Remade::Failed(FileError::Internal);
    };
    maker
        .of_wheel(file, wheel)
        .await
        .map_or(Remade::Nothing, Remade::As)
}

/// The wheel's bytes, once every one of them is here and right.
pub(super) async fn verified(wheel: Source) -> Result<Verified, Cause> {
    match wheel {
        Source::Blob(blob) => Ok((Arc::clone(blob.file()), blob.size())),
        Source::PartialFile(partial, _) => {
            let size = partial.begin(true).await?;
            Ok((
                Arc::clone(partial.file()),
                size.unwrap_or_else(|| partial.written()),
            ))
        }
    }
}
