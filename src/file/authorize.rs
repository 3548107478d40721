//! A caller's right to one file: proven already, or by a question to GitLab in the caller's name.
//!
//! Owns what the room concludes from a refusal. Must not know what is done with a right.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use super::Files;
use super::error::FileError;
use super::ranges::{FIRST_BYTE, Ranges};
use super::request::{AccessAnswer, FileRequest, NoReply};
use crate::access::{AuthVerdict, Authorization, Caller, Permit, verdict};
use crate::registry::{FileRef, Route};
use crate::upstream::{
    FileAnswer, PassThrough, Upstream, UpstreamError, UpstreamRequest, Validators,
};
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::clock;

impl Files {
    pub(super) fn standing(&self, request: &FileRequest, now: Instant) -> Authorization {
        let who = request.caller.fingerprint();
        self.access.file(who, &request.file, now)
    }

    /// Upstream gave this caller the file when it was asked at `asked`.
    pub(super) fn admit(&self, request: &FileRequest, asked: Instant) -> Permit {
        let who = request.caller.fingerprint();
        self.access.admit_file(who, &request.file, asked)
    }

    /// The right as it stands, or as GitLab says when it is asked with these validators; and what
    /// the question came to, if it was asked.
    pub(super) async fn authorize(
        &self,
        request: &FileRequest,
        standing: Authorization,
        validators: Validators,
    ) -> Result<(Permit, Option<CacheStatus>), NoReply> {
        if let Authorization::Proven(permit) = standing {
            return Ok((permit, None));
        }
        let (permit, answer) = Box::pin(self.question(request, validators)).await?;
        let status = CacheStatus::answered(Outcome::Authorized, answer.as_u16());
        Ok((permit, Some(status)))
    }

    /// GitLab's refusal of this file to this caller, if the caller may not have it.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn refusal(
        &self,
        request: &FileRequest,
        now: Instant,
    ) -> Result<Option<PassThrough>, FileError> {
        let standing = self.standing(request, now);
        let validators = Validators::default();
        match self.authorize(request, standing, validators).await {
            Ok(_) => Ok(None),
            Err(NoReply::Refused(answer)) => Ok(Some(answer)),
            Err(NoReply::Failed(why)) => Err(why),
            Err(NoReply::Again) => Err(FileError::Internal),
        }
    }

    /// Asks GitLab, in the caller's name, whether the caller may have this file.
    pub(super) async fn question(
        &self,
        request: &FileRequest,
        validators: Validators,
    ) -> Result<(Permit, StatusCode), NoReply> {
        let upstream = Arc::clone(&self.upstream);
        let ranges = Arc::clone(&self.ranges);
        let file = request.file.clone();
        let caller = request.caller.clone();
        let work = move || async move { ask(&upstream, &ranges, file, &caller, validators).await };
        let who = request.caller.fingerprint();
        let key = (who, request.file.clone(), self.access.generation());
        let shared = self.questions.run(key, work).await;
        match shared.ok_or(FileError::Internal)?.value {
            AccessAnswer::Admitted { asked, status } => Ok((self.admit(request, asked), status)),
            AccessAnswer::Refused(answer) => Err(self.refused(request, answer, clock::now())),
            AccessAnswer::Failed(why) => Err(why.into()),
        }
    }

    /// Draws the conclusions of a refusal, which is what the caller gets.
    pub(super) fn refused(
        &self,
        request: &FileRequest,
        answer: PassThrough,
        now: Instant,
    ) -> NoReply {
        let who = request.caller.fingerprint();
        match verdict::verdict(answer.status, false) {
            // A mirror is asked without a credential, and its refusal says nothing of a caller's
            // rights.
            _ if request.file.scope.is_mirror() => {}
            AuthVerdict::TurnedAway => self.access.turn_away(who, now),
            AuthVerdict::NotThere => self.access.forget_file(who, &request.file, now),
            AuthVerdict::Admitted | AuthVerdict::NoWord => {}
        }
        NoReply::Refused(answer)
    }
}

/// Asks upstream in this caller's name, and takes none of the bytes.
pub(super) async fn ask(
    upstream: &Upstream,
    ranges: &Ranges,
    file: FileRef,
    caller: &Caller,
    validators: Validators,
) -> AccessAnswer {
    let asked = clock::now();
    let peer = upstream.peer_of(&file.scope);
    // Without a validator one byte tells as much as all of them.
    let one_byte = validators.is_empty() && !ranges.none(&file.scope);
    let route = Route::File(file);
    let mut ask = UpstreamRequest {
        validators,
        ..UpstreamRequest::by(&route, caller)
    };
    let answered = if one_byte {
        ranges.ask_or_whole(upstream, &mut ask, FIRST_BYTE).await
    } else {
        upstream.file(&ask).await
    };
    let status = match answered {
        // A body is not needed: dropping it closes that connection.
        Ok(FileAnswer::Whole(answer) | FileAnswer::Part(_, answer)) => answer.status,
        Ok(FileAnswer::NotModified) => StatusCode::NOT_MODIFIED,
        Ok(FileAnswer::Admitted(status)) => status,
        // An empty file.
        Ok(FileAnswer::Unsatisfiable(_)) => StatusCode::RANGE_NOT_SATISFIABLE,
        Ok(FileAnswer::Refused(answer)) => return AccessAnswer::Refused(answer),
        Ok(FileAnswer::RangeRefused(status)) => {
            return AccessAnswer::Failed(UpstreamError::Failed(peer, status));
        }
        Err(why) => return AccessAnswer::Failed(why),
    };
    AccessAnswer::Admitted { asked, status }
}
