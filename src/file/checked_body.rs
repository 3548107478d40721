//! A body that is hashed while it passes and kept nowhere.
//!
//! For when the store cannot take a file: the promise to the client stays, so the last bytes are
//! held until length and digest agree. Must not know why nothing is stored.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::bad_digests::BadDigests;
use super::error::FileError;
use crate::registry::{FileRef, Route};
use crate::store::{Cause, HELD_BACK_BYTES};
use crate::upstream::{BodyError, IdleBody, UpstreamResponse};
use crate::values::clock;
use crate::values::digest::Hasher;

pub struct CheckedBody {
    body: IdleBody,
    /// Its label says that the bytes are not the file's.
    coded: bool,
    hasher: Hasher,
    file: FileRef,
    bad_digests: Arc<BadDigests>,
    size: Option<u64>,
    /// So many bytes are there already, and come again.
    skip: u64,
    seen: u64,
    held: VecDeque<Bytes>,
    held_bytes: u64,
    /// The end was reached and judged.
    judged: bool,
}

impl CheckedBody {
    /// Takes a 200 of upstream's, and says how long it will be; once there are bytes to give, so
    /// that one that is wrong or breaks off before is told in place of a head.
    pub(super) async fn begun(
        answer: UpstreamResponse,
        file: &FileRef,
        bad_digests: &Arc<BadDigests>,
    ) -> Result<(Option<u64>, Box<Self>), FileError> {
        let size = answer.length();
        let mut body = Self::new(answer, file, bad_digests, size);
        let ready = std::future::poll_fn(|cx| body.poll_ready(cx)).await;
        ready.map_err(FileError::Body)?;
        Ok((size, Box::new(body)))
    }

    pub(super) fn new(
        answer: UpstreamResponse,
        file: &FileRef,
        bad_digests: &Arc<BadDigests>,
        size: Option<u64>,
    ) -> Self {
        Self {
            coded: answer.is_coded(),
            body: answer.body,
            hasher: Hasher::new(),
            file: file.clone(),
            bad_digests: Arc::clone(bad_digests),
            size,
            skip: 0,
            seen: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            judged: false,
        }
    }

    /// The same behind so many bytes that were seen before: `hasher` has them, the body repeats
    /// `skip` of them, and the last of them, `kept`, are still to go.
    pub(super) fn continuing(mut self, hasher: Hasher, seen: u64, skip: u64, kept: Bytes) -> Self {
        self.hasher = hasher;
        self.seen = seen;
        self.skip = skip;
        self.hold(kept);
        self
    }

    fn hold(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.held_bytes += piece.len() as u64;
            self.held.push_back(piece);
        }
    }

    fn judge(&mut self) -> Result<(), Cause> {
        self.judged = true;
        if self.size.is_some_and(|size| size != self.seen) {
            return Err(Cause::Short);
        }
        if std::mem::take(&mut self.hasher).finish() != self.file.digest {
            return Err(self.wrong(Cause::WrongDigest.of_coded(self.coded)));
        }
        self.bad_digests.clear(&self.file);
        Ok(())
    }

    fn wrong(&self, cause: Cause) -> Cause {
        self.bad_digests.record(&self.file, clock::now());
        let route = Route::File(self.file.clone());
        tracing::error!(file = %route, error = %cause, "checksum mismatch: upstream sent other bytes than the address names");
        cause
    }

    /// Reads until there are bytes that may go, or all was judged.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        loop {
            let first = self.held.front();
            let spare =
                first.is_some_and(|first| self.held_bytes - first.len() as u64 >= HELD_BACK_BYTES);
            if self.judged || spare {
                return Poll::Ready(Ok(()));
            }
            let wrong = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(mut piece) = frame.into_data() else {
                        continue;
                    };
                    let skipped = usize::try_from(self.skip)
                        .unwrap_or(usize::MAX)
                        .min(piece.len());
                    self.skip -= skipped as u64;
                    let piece = piece.split_off(skipped);
                    self.hasher.update(&piece);
                    self.seen += piece.len() as u64;
                    // What follows the announced end would be cut off by the server, and never be
                    // judged.
                    if self.size.is_some_and(|size| size < self.seen) {
                        self.wrong(Cause::Long)
                    } else {
                        self.hold(piece);
                        continue;
                    }
                }
                Some(Err(BodyError::Stalled(_))) => Cause::Stalled,
                Some(Err(_)) => Cause::Upstream,
                None => match self.judge() {
                    Ok(()) => continue,
                    Err(cause) => cause,
                },
            };
            self.held.clear();
            self.judged = true;
            return Poll::Ready(Err(wrong));
        }
    }
}

impl Body for CheckedBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        if let Err(cause) = ready!(self.poll_ready(cx)) {
            return Poll::Ready(Some(Err(cause)));
        }
        let Some(first) = self.held.pop_front() else {
            return Poll::Ready(None);
        };
        self.held_bytes -= first.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(first))))
    }

    fn size_hint(&self) -> SizeHint {
        self.size
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Uri};
    use http_body_util::BodyExt;

    use super::*;
    use crate::values::digest::Digest;

    /// What a body of these bytes gives, of which so many are announced; the digest is that of the
    /// whole.
    async fn passed(bytes: &'static [u8], announced: u64) -> Result<Bytes, Cause> {
        let answer = UpstreamResponse::assembled(
            None,
            HeaderMap::new(),
            Bytes::from_static(bytes),
            announced,
        );
        let path = format!(
            "/api/v4/projects/42/packages/pypi/files/{}/a-1.0.tar.gz",
            Digest::of(bytes)
        );
        let path = Uri::try_from(path).expect("a path");
        let Ok(Route::File(file)) = Route::parse(&Method::GET, &path) else {
            unreachable!("a file")
        };
        let body = CheckedBody::new(
            answer,
            &file,
            &Arc::new(BadDigests::new(Arc::default())),
            Some(announced),
        );
        body.collect()
            .await
            .map(http_body_util::Collected::to_bytes)
    }

    #[tokio::test]
    async fn a_body_that_is_longer_or_shorter_than_announced_is_never_whole() {
        let bytes: &'static [u8] = &[7; 200_000];
        assert_eq!(passed(bytes, 200_000).await.as_deref(), Ok(bytes));
        assert_eq!(passed(bytes, 100_000).await, Err(Cause::Long));
        assert_eq!(passed(bytes, 200_001).await, Err(Cause::Short));
    }
}
