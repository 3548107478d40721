//! GitLab's "not here, ask the public index", remembered for as long as a page is fresh and its word to a caller counts, and no
//! longer whatever fails.
//!
//! Per caller, because GitLab says so of what this caller may see; and gone with the next upload. Must not know what the
//! mirror has.

use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::freshness::{Known, Lifetimes, Source, Use, Word, decide};
use super::request::PageRequest;
use crate::access::{Access, Fingerprint};
use crate::registry::{PageRef, Scope};

/// Words remembered at once.
const FORWARDS_MAX: u64 = 16_384;

pub(super) struct Forwards {
    known: Cache<(PageRef, Fingerprint), (Scope, Instant)>,
    lifetimes: Lifetimes,
}

impl Forwards {
    pub(super) fn new(ttl: Duration) -> Self {
        let never = Duration::ZERO;
        let lifetimes = Lifetimes {
            ttl,
            while_revalidate: never,
            if_error: never,
        };
        Self {
            known: Cache::new(FORWARDS_MAX),
            lifetimes,
        }
    }

    /// The mirror that answers this request in GitLab's place, if GitLab said so lately and since the last upload,
    /// with which the package may have come, and if its words to this caller count. `overtaken` is when all words were last
    /// made void, by an upload say.
    pub(super) fn recall(
        &self,
        request: &PageRequest,
        now: Instant,
        overtaken: Option<Instant>,
        access: &Access,
    ) -> Option<Scope> {
        let (mirror, asked) = self
            .known
            .get(&(request.page.clone(), request.caller.fingerprint()))?;
        let known = Known {
            age: Some(now.saturating_duration_since(asked)),
            overtaken: overtaken.is_some_and(|at| asked <= at)
                || access.is_void(request.caller.fingerprint(), asked),
            spread: 0.0,
        };
        let decided = decide(Source::GitLab, known, Word::Unasked, &self.lifetimes);
        (matches!(decided, Use::Show { .. }) && !request.insists).then_some(mirror)
    }

    pub(super) fn clear(&self) {
        self.known.invalidate_all();
    }

    /// `asked` is when the request was begun that GitLab answered so.
    pub(super) fn remember(&self, request: &PageRequest, mirror: Scope, asked: Instant) {
        self.known.insert(
            (request.page.clone(), request.caller.fingerprint()),
            (mirror, asked),
        );
    }
}
