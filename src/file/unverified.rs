//! A file that upstream lists without a sha256: passed through, unverified.
//!
//! There is nothing to check its bytes by, so that nothing is promised of them: no entity tag, no storing at the client,
//! and a resume is the client's own affair. Must not know which pages list it.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::checked::announced;
use super::{FileError, FileReply, Files, Wanted};
use crate::access::Credential;
use crate::byte_range::ByteRange;
use crate::registry::{MirrorPath, Route};
use crate::upstream::{Ask, ContentRange, FileAnswer, UpstreamError, WantedRange};

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
        let mut ask = Ask::plain(&route, &nobody);
        // One byte tells the length of a file whose head alone is wanted.
        let range = match wanted {
            Wanted::Whole => None,
            Wanted::Range(range) => Some(range),
            Wanted::Head => Some(ByteRange::From { first: 0, last: Some(0) }),
        };
        ask.range = range
            .and_then(|range| HeaderValue::try_from(range.field()).ok())
            .map(|range| WantedRange { range, if_range: None });
        let answer = self.upstream.file(&ask).await.map_err(FileError::from);
        match answer.map_err(|why| why.about(path.filename().as_str()))? {
            FileAnswer::Body(answer) => {
                let length = announced(&answer)?;
                let partial = ContentRange::of(&answer.headers)
                    .filter(|_| answer.status == StatusCode::PARTIAL_CONTENT);
                Ok(match (wanted, partial) {
                    (Wanted::Head, partial) => {
                        let size = partial.map_or(length, |range| range.whole);
                        FileReply::Unverified { size, body: None }
                    }
                    (_, Some(range)) => FileReply::Partial { range, body: answer.body },
                    (_, None) => FileReply::Unverified { size: length, body: Some(answer.body) },
                })
            }
            FileAnswer::Refused(relayed) => Ok(FileReply::Relayed(relayed)),
            FileAnswer::Unsatisfiable(size) => Ok(FileReply::Unsatisfiable { size }),
            FileAnswer::NotModified | FileAnswer::Admitted(_) => {
                Err(UpstreamError::Unusable("upstream answered a question that was not asked").into())
            }
        }
    }
}
