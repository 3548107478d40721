//! A range or the head of a file that is not here: upstream's own answer, for one caller alone.
//!
//! Must not store anything; a small file is downloaded behind the answer, or from it where upstream
//! sends the whole in place of a part.

use std::sync::Arc;
use std::time::Instant;

use super::Files;
use super::download::Download;
use super::error::FileError;
use super::ranges::{FIRST_BYTE, wanted_range};
use super::request::{FileReply, FileRequest, NoReply, WantedPart};
use crate::access::{Authorization, Permit};
use crate::registry::Route;
use crate::store::Cause;
use crate::upstream::{
    ContentRange, FileAnswer, IdleBody, Peer, UpstreamError, UpstreamRequest, UpstreamResponse,
};
use crate::values::cache_status::{CacheStatus, Outcome};

impl Files {
    pub(super) async fn relay(
        self: &Arc<Self>,
        request: &FileRequest,
        standing: Authorization,
        running: Option<&Download>,
        now: Instant,
    ) -> Result<FileReply, NoReply> {
        if let Authorization::Proven(permit) = standing {
            if request.wanted == WantedPart::Head
                && let Some(size) = running.and_then(Download::size)
            {
                return Ok(known(permit, size, Outcome::Collapsed));
            }
            if let Some(reply) = self.relay_end(request, permit, now).await? {
                return Ok(reply);
            }
        }
        let route = Route::File(request.file.clone());
        let mut ask = UpstreamRequest::by(&route, &request.caller);
        let size = match self.part(&mut ask, request.wanted).await {
            Ok(FileAnswer::Part(part, answer)) => {
                if let WantedPart::Range(_) = request.wanted {
                    return self.relay_part(request, ask, part, answer, now).await;
                }
                part.whole
            }
            Ok(FileAnswer::Whole(answer)) => self.keep_whole(request, answer, &ask, now),
            Ok(FileAnswer::Unsatisfiable(size)) => size,
            Ok(FileAnswer::Refused(answer)) => return Err(self.refused(request, answer, now)),
            // The range is cut from the file, or the whole is refused in upstream's own words.
            Ok(FileAnswer::RangeRefused(_)) | Err(UpstreamError::WrongPart(_)) => {
                return self.read_along(request, standing, false, now).await;
            }
            Ok(FileAnswer::NotModified | FileAnswer::Admitted(_)) => {
                return Err(FileError::Internal.into());
            }
            Err(why) => return Err(why.into()),
        };
        let permit = self.admit(request, now);
        match (request.wanted, size) {
            // The head alone, or a range behind the end: the length is all there is to tell.
            (WantedPart::Head, Some(size)) => Ok(self.told(request, permit, size)),
            (WantedPart::Range(range), Some(size)) if range.on(size).is_none() => {
                Ok(known(permit, size, Outcome::Bypass))
            }
            (WantedPart::Head, None) => {
                Err(UpstreamError::Unusable("upstream did not say how long the file is").into())
            }
            // Upstream does not do ranges: the whole, read along, is the answer that comes soonest.
            (WantedPart::Range(_) | WantedPart::Whole, _) => {
                let whole = FileRequest {
                    wanted: WantedPart::Whole,
                    ..request.clone()
                };
                let standing = Authorization::Proven(permit);
                self.read_along(&whole, standing, false, now).await
            }
        }
    }

    /// The head, of which upstream has told how long the file is.
    pub(super) fn told(&self, request: &FileRequest, permit: Permit, size: u64) -> FileReply {
        let who = request.caller.fingerprint();
        self.wheel_ends.note_head(who, &request.file, size);
        known(permit, size, Outcome::Bypass)
    }

    /// Upstream's 206 for the range that is wanted, as `ask` asked for it.
    async fn relay_part(
        self: &Arc<Self>,
        request: &FileRequest,
        mut ask: UpstreamRequest<'_>,
        range: ContentRange,
        answer: UpstreamResponse,
        now: Instant,
    ) -> Result<FileReply, NoReply> {
        let permit = self.admit(request, now);
        // What a coded part is a part of, and of how much, only the whole can tell.
        if answer.is_coded() {
            let standing = Authorization::Proven(permit);
            return self.read_along(request, standing, true, now).await;
        }
        let is_small = match range.whole {
            Some(size) => size <= self.config.background_fetch_max.0,
            None => false,
        };
        let peer = self.upstream.peer_of(&request.file.scope);
        ask.broke_off.clone_from(&answer.parent);
        let body = match begun(answer.body, Some(range.bytes()), &peer).await {
            Ok(body) => body,
            Err(why) if self.upstream.peers_of(&request.file.scope) < 2 => return Err(why.into()),
            // The download goes on at another parent.
            Err(_) if is_small => {
                let standing = Authorization::Proven(permit);
                return self.read_along(request, standing, false, now).await;
            }
            Err(why) => match self.part(&mut ask, request.wanted).await {
                Ok(FileAnswer::Part(part, answer)) if part == range && !answer.is_coded() => {
                    begun(answer.body, Some(range.bytes()), &peer).await?
                }
                Ok(_) | Err(_) => return Err(why.into()),
            },
        };
        // A client that reads a range of a file now mostly wants the rest soon.
        let who = request.caller.fingerprint();
        if is_small && !self.wheel_ends.is_metadata(who, &request.file, range) {
            drop(self.downloads.join_or_start(&request.file, &request.caller));
        }
        Ok(FileReply::Partial { range, body })
    }

    /// The length of a file of which upstream sent the whole, to a question for a range or behind one
    /// that came to nothing. In place of a head the answer becomes the file's download, if that is
    /// small enough, so that it was not sent in vain.
    fn keep_whole(
        &self,
        request: &FileRequest,
        answer: UpstreamResponse,
        ask: &UpstreamRequest<'_>,
        now: Instant,
    ) -> Option<u64> {
        let size = answer.length();
        // Of a file of one byte or none, the whole is a fit answer to the question for the first.
        if ask.range.is_some() && size.is_none_or(|size| size > 1) {
            self.ranges.note_none(&request.file.scope);
        }
        let fetched_max = self.config.background_fetch_max.0;
        if request.wanted == WantedPart::Head && size.is_some_and(|size| size <= fetched_max) {
            self.downloads
                .start_from(answer, &request.file, &request.caller, now);
        }
        size
    }

    /// Asks for the range that is wanted; for a head, for what tells the length.
    async fn part(
        &self,
        ask: &mut UpstreamRequest<'_>,
        part: WantedPart,
    ) -> Result<FileAnswer, UpstreamError> {
        match part {
            WantedPart::Range(range) => {
                let range = wanted_range(range);
                self.ranges.ask(&self.upstream, ask, range).await
            }
            // One byte tells it; a HEAD would not, on a link that is signed for GET.
            WantedPart::Head | WantedPart::Whole => {
                self.ranges
                    .ask_or_whole(&self.upstream, ask, FIRST_BYTE)
                    .await
            }
        }
    }
}

fn known(permit: Permit, size: u64, outcome: Outcome) -> FileReply {
    FileReply::Known {
        permit,
        size,
        status: CacheStatus::new(outcome),
    }
}

/// A body that goes on as it comes, of so many bytes if that was promised, once its first ones are
/// here: for what breaks before there is an answer of our own.
pub(super) async fn begun(
    mut body: IdleBody,
    bytes: Option<u64>,
    peer: &Peer,
) -> Result<IdleBody, FileError> {
    match body.begin().await {
        Ok(false) if bytes.is_some_and(|bytes| bytes > 0) => Err(FileError::Body(Cause::Short)),
        Ok(_) => Ok(body),
        Err(why) => Err(UpstreamError::of_body(peer, &why).into()),
    }
}
