//! What upstreams make of ranges (RFC 9110 §14), as was lately found out, and asking for one so
//! that it is answered.
//!
//! Some object stores and web servers know no range from the end (`bytes=-n`) and refuse it, with
//! 400, 405 or 501: they are asked with both ends once the length is known. Some refuse every
//! range. Owns what is remembered of that, for each place that files come from, and for
//! [`REMEMBERED_FOR`]. Must not know what is done with a part.

use std::time::Duration;

use moka::sync::Cache;

use crate::registry::Scope;
use crate::upstream::{
    FileAnswer, Upstream, UpstreamError, UpstreamRequest, Validators, WantedRange,
};
use crate::values::byte_range::ByteRange;

/// How long an upstream is asked no ranges, or none from the end, before it is tried again.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// Places remembered, of either kind.
const SCOPES_MAX: u64 = 1024;

/// The range that costs least; its answer tells the length.
pub(super) const FIRST_BYTE: ByteRange = ByteRange::From {
    first: 0,
    last: Some(0),
};

pub(super) struct Ranges {
    none: Cache<Scope, ()>,
    none_from_the_end: Cache<Scope, ()>,
}

/// A range of whatever version of the file upstream has.
pub(super) fn wanted_range(range: ByteRange) -> WantedRange {
    WantedRange {
        range,
        if_range: None,
    }
}

impl Ranges {
    pub(super) fn new() -> Self {
        let cache = || {
            Cache::builder()
                .max_capacity(SCOPES_MAX)
                .time_to_live(REMEMBERED_FOR)
                .build()
        };
        Self {
            none: cache(),
            none_from_the_end: cache(),
        }
    }

    /// Whether upstream was lately found to answer no ranges here.
    pub(super) fn none(&self, scope: &Scope) -> bool {
        self.none.contains_key(scope)
    }

    pub(super) fn note_none(&self, scope: &Scope) {
        if !self.none(scope) {
            tracing::info!(%scope, "upstream answers no ranges: no metadata is read ahead for a while");
            self.none.insert(scope.clone(), ());
        }
    }

    fn note_none_from_the_end(&self, scope: &Scope) {
        if !self.none_from_the_end.contains_key(scope) {
            tracing::info!(%scope, "upstream refuses ranges from the end: for a while it is asked with both ends");
            self.none_from_the_end.insert(scope.clone(), ());
        }
    }

    /// Asks for a range of the file that `ask` is about. [`FileAnswer::RangeRefused`] comes back
    /// only where no other form of it helps.
    pub(super) async fn ask(
        &self,
        upstream: &Upstream,
        ask: &mut UpstreamRequest<'_>,
        wanted: WantedRange,
    ) -> Result<FileAnswer, UpstreamError> {
        let scope = ask.route.scope();
        let ByteRange::Suffix(length) = wanted.range else {
            return self.ask_plainly(upstream, ask, wanted).await;
        };
        if scope.is_none_or(|scope| !self.none_from_the_end.contains_key(scope)) {
            ask.range = Some(wanted.clone());
            match upstream.file(ask).await? {
                FileAnswer::RangeRefused(_) => {}
                answered => return Ok(answered),
            }
        }
        let first = WantedRange {
            range: FIRST_BYTE,
            ..wanted
        };
        let (part, answer) = match self.ask_plainly(upstream, ask, first).await? {
            FileAnswer::Part(part, answer) => (part, answer),
            answered => return Ok(answered),
        };
        if let Some(scope) = scope {
            self.note_none_from_the_end(scope);
        }
        let Some(size) = part.whole else {
            return Ok(FileAnswer::RangeRefused(answer.status));
        };
        // Both are of one file, as far as upstream can tell.
        let if_range = Validators::of(&answer.headers).for_resume().cloned();
        // The one byte is read, so that the connection can be used again.
        drop(answer.body.collect(1).await);
        match ByteRange::Suffix(length).on(size) {
            None => Ok(FileAnswer::Unsatisfiable(Some(size))),
            Some(extent) => {
                let range = ByteRange::From {
                    first: extent.start,
                    last: Some(extent.end - 1),
                };
                self.ask_plainly(upstream, ask, WantedRange { range, if_range })
                    .await
            }
        }
    }

    /// Asks for a range, and for the whole where that range is refused or another part comes: all
    /// of it may be the answer to a range (RFC 9110 §14.2).
    pub(super) async fn ask_or_whole(
        &self,
        upstream: &Upstream,
        ask: &mut UpstreamRequest<'_>,
        range: ByteRange,
    ) -> Result<FileAnswer, UpstreamError> {
        match self.ask(upstream, ask, wanted_range(range)).await {
            Ok(FileAnswer::RangeRefused(_)) | Err(UpstreamError::WrongPart(_)) => {
                ask.range = None;
                upstream.file(ask).await
            }
            answered => answered,
        }
    }

    async fn ask_plainly(
        &self,
        upstream: &Upstream,
        ask: &mut UpstreamRequest<'_>,
        wanted: WantedRange,
    ) -> Result<FileAnswer, UpstreamError> {
        ask.range = Some(wanted);
        let answered = upstream.file(ask).await?;
        if let (FileAnswer::RangeRefused(_), Some(scope)) = (&answered, ask.route.scope()) {
            self.note_none(scope);
        }
        Ok(answered)
    }
}
