//! The rest of a file, for one reader whose download found no more room on the disk.
//!
//! What was written is there to be read, and its hash has come as far: what is behind it comes from
//! upstream, asked for again in the reader's own name, and is judged together with it. Must not
//! know who reads, or how far.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use crate::access::Caller;
use crate::file::bad_digests::BadDigests;
use crate::file::checked_body::CheckedBody;
use crate::registry::{FileRef, Route};
use crate::store::{Cause, PartialFile};
use crate::upstream::{FileAnswer, Upstream, UpstreamRequest, Validators, WantedRange};
use crate::values::byte_range::ByteRange;
use crate::values::correlation;

pub struct Continuation {
    pub upstream: Arc<Upstream>,
    pub bad_digests: Arc<BadDigests>,
    pub file: FileRef,
    pub caller: Caller,
    pub validators: Validators,
}

impl Continuation {
    /// Goes on at `position`, which is what the watermark let through of `partial`.
    ///
    /// # Errors
    /// When nothing is to be had that continues it; a body that turns out not to breaks later.
    pub async fn follow(
        self,
        partial: Arc<PartialFile>,
        position: u64,
    ) -> Result<Box<CheckedBody>, Cause> {
        let (hasher, written) = partial.left_off().ok_or(Cause::Full)?;
        let kept = kept(&partial, position, written).await?;
        let route = Route::File(self.file.clone());
        let range = self.validators.for_resume().map(|validator| WantedRange {
            range: ByteRange::From {
                first: written,
                last: None,
            },
            if_range: Some(validator.clone()),
        });
        let ask = UpstreamRequest {
            range,
            ..UpstreamRequest::by(&route, &self.caller)
        };
        let (answer, size) = match self.upstream.file(&ask).await {
            Ok(FileAnswer::Part(part, answer)) => (answer, part.whole),
            Ok(FileAnswer::Whole(answer)) => {
                let size = answer.length();
                (answer, size)
            }
            _ => return Err(Cause::Full),
        };
        let promised = partial.size();
        if promised.is_some() && size.is_some() && promised != size {
            return Err(Cause::Upstream);
        }
        let skip = if answer.status == StatusCode::OK {
            written
        } else {
            0
        };
        tracing::info!(file = %route, written, "a reader goes on without the disk");
        let body = CheckedBody::new(answer, &self.file, &self.bad_digests, promised.or(size));
        Ok(Box::new(body.continuing(hasher, written, skip, kept)))
    }
}

impl std::fmt::Debug for Continuation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Continuation")
    }
}

/// What of the written bytes the watermark held back.
async fn kept(partial: &Arc<PartialFile>, position: u64, written: u64) -> Result<Bytes, Cause> {
    let bytes = written.checked_sub(position).ok_or(Cause::Full)?;
    let bytes = usize::try_from(bytes).map_err(|_| Cause::Full)?;
    let file = Arc::clone(partial.file());
    let read = correlation::spawn_blocking(move || {
        let mut piece = vec![0; bytes];
        file.read_exact_at(&mut piece, position)?;
        Ok::<_, std::io::Error>(piece)
    });
    match read.await {
        Ok(Ok(piece)) => Ok(piece.into()),
        Ok(Err(_)) | Err(_) => Err(Cause::Disk),
    }
}
