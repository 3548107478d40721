//! A file that upstream lists without a sha256: passed through, unverified.
//!
//! There is nothing to check its bytes by, so that nothing is promised of them: no entity tag, no storing at the client,
//! and a resume is the client's own affair. Must not know which pages list it.

use std::sync::Arc;

use super::ranges::FIRST_BYTE;
use super::{FileError, FileReply, Files, Wanted, passed_on};
use crate::access::Credential;
use crate::registry::{MirrorPath, Route};
use crate::upstream::{FileAnswer, UpstreamError, UpstreamRequest, WantedRange};

impl Files {
    /// Relays a file, or a range of it, as upstream sends it.
    ///
    /// # Errors
    /// Whatever leaves nothing to relay.
    pub async fn unverified(
        self: &Arc<Self>,
        path: &MirrorPath,
        wanted: Wanted,
    ) -> Result<FileReply, FileError> {
        if wanted == Wanted::Whole {
            self.adopt_behind(path);
        }
        let route = Route::Mirrored(path.clone());
        let nobody = Credential::anonymous();
        let mut ask = UpstreamRequest::plain(&route, &nobody);
        // One byte tells the length of a file whose head alone is wanted.
        let range = match wanted {
            Wanted::Whole => None,
            Wanted::Range(range) => Some(range),
            Wanted::Head => Some(FIRST_BYTE),
        };
        let range = range.filter(|_| !self.ranges.none(path.scope()));
        let answered = match range.map(|range| WantedRange {
            range,
            if_range: None,
        }) {
            None => self.upstream.file(&ask).await,
            Some(range) => match self.ranges.ask(&self.upstream, &mut ask, range).await {
                // All of it may be the answer to a range (RFC 9110 §14.2).
                Ok(FileAnswer::RangeRefused(_)) => {
                    ask.range = None;
                    self.upstream.file(&ask).await
                }
                answered => answered,
            },
        };
        let answered = answered.map_err(FileError::from);
        match answered.map_err(|why| why.about(path.filename().as_str()))? {
            FileAnswer::Whole(answer) => {
                let answer = answer.uncoded()?;
                let size = answer.length();
                let body = match wanted {
                    Wanted::Head => None,
                    Wanted::Whole | Wanted::Range(_) => {
                        Some(passed_on(answer.body, size, path.scope()).await?)
                    }
                };
                Ok(FileReply::Unverified { size, body })
            }
            FileAnswer::Part(range, answer) => {
                let answer = answer.uncoded()?;
                if wanted == Wanted::Head {
                    return Ok(FileReply::Unverified {
                        size: range.whole,
                        body: None,
                    });
                }
                let body = passed_on(answer.body, Some(range.bytes()), path.scope()).await?;
                Ok(FileReply::Partial { range, body })
            }
            FileAnswer::Refused(relayed) => Ok(FileReply::PassThrough(relayed)),
            FileAnswer::Unsatisfiable(size) => Ok(FileReply::Unsatisfiable { size }),
            FileAnswer::NotModified | FileAnswer::Admitted(_) | FileAnswer::RangeRefused(_) => Err(
                UpstreamError::Unusable("upstream answered a question that was not asked").into(),
            ),
        }
    }
}
