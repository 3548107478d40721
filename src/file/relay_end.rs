//! A wheel that is not here, for a caller that reads its metadata by a HEAD and ranges: what the
//! metadata is read from is asked of upstream once, and the caller's own requests are answered from
//! it.
//!
//! Must not give it to another caller.

use std::sync::Arc;
use std::time::Instant;

use super::Files;
use super::download::tail_first::TailFirst;
use super::metadata::remote::RemoteError;
use super::request::{EndRead, FileReply, FileRequest, NoReply, WantedPart};
use crate::access::{Authorization, Permit};
use crate::upstream::IdleBody;
use crate::values::byte_range::ByteRange;
use crate::values::{clock, correlation};
use crate::wheel::TAIL_BYTES;

impl Files {
    /// The head of a wheel, or a range at its end, for a caller that reads metadata so: its end is
    /// read once for both.
    pub(super) async fn relay_end(
        self: &Arc<Self>,
        request: &FileRequest,
        permit: Permit,
        now: Instant,
    ) -> Result<Option<FileReply>, NoReply> {
        let who = request.caller.fingerprint();
        let wheel = &request.file;
        if !wheel.filename.is_wheel() || !self.upstream.is_named_by_operator(wheel) {
            return Ok(None);
        }
        let bytes = match request.wanted {
            WantedPart::Head => self.wheel_ends.read_by(who),
            WantedPart::Range(range) => {
                if let Some(reply) = self.held_end(request, range) {
                    return Ok(Some(reply));
                }
                self.wheel_ends.note_range(who, wheel, range)
            }
            WantedPart::Whole => None,
        };
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        match (self.read_end(request, bytes).await, request.wanted) {
            (EndRead::Held(size), WantedPart::Head) => Ok(Some(self.told(request, permit, size))),
            (EndRead::Held(_), WantedPart::Range(range)) => Ok(self.held_end(request, range)),
            (EndRead::Downloading, _) => {
                let standing = Authorization::Proven(permit);
                let reply = self.read_along(request, standing, false, now).await?;
                Ok(Some(reply))
            }
            (EndRead::Refused(answer), _) => Err(self.refused(request, answer, now)),
            (EndRead::Failed(why), _) => Err(why.into()),
            (EndRead::Held(_), WantedPart::Whole) | (EndRead::Nothing, _) => Ok(None),
        }
    }

    fn held_end(&self, request: &FileRequest, range: ByteRange) -> Option<FileReply> {
        let who = request.caller.fingerprint();
        let (range, bytes) = self.wheel_ends.take(who, &request.file, range)?;
        let body = IdleBody::of(bytes);
        Some(FileReply::Partial { range, body })
    }

    /// Reads so many bytes at the wheel's end in this caller's name, and what else its metadata is
    /// read from if that comes soon, and holds them for it. The metadata is kept behind the answer.
    async fn read_end(&self, request: &FileRequest, bytes: u64) -> EndRead {
        let who = request.caller.fingerprint();
        let key = (who, request.file.clone());
        let downloads = Arc::clone(&self.downloads);
        let ends = Arc::clone(&self.wheel_ends);
        let file = request.file.clone();
        let caller = request.caller.clone();
        let work = move || async move {
            // A download under way is not waited for: it may be long.
            let Some(task) = downloads.claim(&file, &caller) else {
                return EndRead::Nothing;
            };
            let asked = clock::now();
            let end = match task.read_tail(bytes, Some(0)).await {
                Ok(TailFirst::Tail(end)) => end,
                Ok(TailFirst::Whole(download, _handle)) => {
                    download.wait_if_short(TAIL_BYTES).await;
                    return EndRead::Downloading;
                }
                Err(RemoteError::Refused(answer)) => return EndRead::Refused(answer),
                Err(RemoteError::Upstream(why)) if why.is_silence() => return EndRead::Failed(why),
                Err(_) => return EndRead::Nothing,
            };
            downloads.access.admit_file(who, &file, asked);
            let generator = Arc::clone(&downloads.generator);
            let size = end.whole;
            let limit = generator.config.answer_timeout.0;
            let credential = caller.credential();
            match generator.read_from(&file, credential, &end, limit).await {
                Ok(read) => {
                    ends.hold(who, &file, size, read.pieces);
                    let keep = async move { generator.keep_by_the_way(&file, read.metadata).await };
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "no client waits for it; lost without harm"
                    )]
                    tokio::spawn(correlation::carried(keep));
                }
                // The caller's right ends here, as it would at its own question.
                Err(RemoteError::Refused(answer)) => return EndRead::Refused(answer),
                // The client may find more in it.
                Err(why) => {
                    tracing::debug!(wheel = %file.filename, error = %why, "a wheel's end yields no metadata");
                    ends.hold(who, &file, size, vec![(end.start(), end.bytes)]);
                }
            }
            EndRead::Held(size)
        };
        match self.wheel_ends.reading.run(key, work).await {
            Some(shared) => shared.value,
            None => EndRead::Nothing,
        }
    }
}
