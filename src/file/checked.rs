//! A body that is hashed while it passes and kept nowhere.
//!
//! For when the store cannot take a file: the promise to the client stays, so the last bytes are held until length and
//! digest agree. Must not know why nothing is stored.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};

use super::suspects::Suspects;
use crate::clock;
use crate::digest::Hasher;
use crate::registry::{FileRef, Route};
use crate::store::{Cause, HELD_BACK_BYTES};
use crate::upstream::{Answer, BodyError, IdleBody, UpstreamError};

pub struct CheckedBody {
    body: IdleBody,
    hasher: Hasher,
    file: FileRef,
    suspects: Arc<Suspects>,
    size: Option<u64>,
    seen: u64,
    held: VecDeque<Bytes>,
    held_bytes: u64,
    /// The end was reached and judged.
    judged: bool,
}

impl CheckedBody {
    /// Takes a 200 of upstream's, and says how long it will be.
    pub(super) fn new(
        answer: Answer,
        file: &FileRef,
        suspects: &Arc<Suspects>,
    ) -> Result<(Option<u64>, Box<Self>), UpstreamError> {
        let size = announced(&answer)?;
        let body = Self {
            body: answer.body,
            hasher: Hasher::new(),
            file: file.clone(),
            suspects: Arc::clone(suspects),
            size,
            seen: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            judged: false,
        };
        Ok((size, Box::new(body)))
    }

    fn judge(&mut self) -> Result<(), Cause> {
        self.judged = true;
        if self.size.is_some_and(|size| size != self.seen) {
            return Err(Cause::Short);
        }
        if std::mem::take(&mut self.hasher).finish() != self.file.digest {
            self.suspects.strike(&self.file, clock::now());
            let route = Route::File(self.file.clone());
            tracing::error!(file = %route, cause = %Cause::WrongDigest, "upstream sent a wrong body");
            return Err(Cause::WrongDigest);
        }
        self.suspects.acquit(&self.file);
        Ok(())
    }
}

/// The length of a file's 200, which must not be encoded in any way.
pub(super) fn announced(answer: &Answer) -> Result<Option<u64>, UpstreamError> {
    let encoding = answer.headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes);
    if !matches!(encoding, None | Some(b"identity")) {
        return Err(UpstreamError::Unusable("upstream sent the file in an encoding that was not asked for"));
    }
    let length = answer.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    Ok(length.and_then(|digits| digits.parse().ok()))
}

impl Body for CheckedBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let this = &mut *self;
        loop {
            let spare = this
                .held
                .front()
                .is_some_and(|first| this.held_bytes - first.len() as u64 >= HELD_BACK_BYTES);
            if (this.judged || spare)
                && let Some(first) = this.held.pop_front()
            {
                this.held_bytes -= first.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(first))));
            }
            if this.judged {
                return Poll::Ready(None);
            }
            let wrong = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(piece) = frame.into_data() else { continue };
                    this.hasher.update(&piece);
                    this.seen += piece.len() as u64;
                    this.held_bytes += piece.len() as u64;
                    this.held.push_back(piece);
                    continue;
                }
                Some(Err(BodyError::Stalled(_))) => Cause::Stalled,
                Some(Err(_)) => Cause::Upstream,
                None => match this.judge() {
                    Ok(()) => continue,
                    Err(cause) => cause,
                },
            };
            this.held.clear();
            this.judged = true;
            return Poll::Ready(Some(Err(wrong)));
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
