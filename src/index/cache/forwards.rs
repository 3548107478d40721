//! GitLab's "not here", remembered for as long as a page is fresh and its decision about a caller
//! counts, and no longer whatever fails; with what follows of it: the mirror that answers in
//! GitLab's place, or nothing where a view goes on to its next source.
//!
//! Per caller, because GitLab says so of what this caller may see; and gone with the next upload.
//! Must not know what the mirror has.

use std::time::{Duration, Instant};

use crate::access::{Access, Fingerprint};
use crate::index::cache::freshness::{
    Lifetimes, PageAge, UpstreamKind, UpstreamVerdict, Use, decide,
};
use crate::index::change_mark::Changes;
use crate::index::request::PageRequest;
use crate::registry::PageRef;
use crate::values::cache::{self, Cache};

/// Forwards remembered at once.
const FORWARDS_MAX: u64 = 16_384;

pub struct Forwards<T> {
    known: Cache<(PageRef, Fingerprint), (T, Instant)>,
    lifetimes: Lifetimes,
}

impl<T: Clone + Send + Sync + 'static> Forwards<T> {
    pub fn new(ttl: Duration) -> Self {
        let never = Duration::ZERO;
        let lifetimes = Lifetimes {
            ttl,
            while_revalidate: never,
            if_error: never,
        };
        Self {
            known: cache::bounded(FORWARDS_MAX),
            lifetimes,
        }
    }

    /// What follows of GitLab's "not here" to this request, if GitLab said so lately and since
    /// the last upload, with which the package may have come, and if its decisions about this
    /// caller count.
    pub fn recall(
        &self,
        request: &PageRequest,
        now: Instant,
        changes: Changes,
        access: &Access,
    ) -> Option<T> {
        if request.insists {
            return None;
        }
        let who = request.caller.fingerprint();
        let (follows, asked) = self.known.get(&(request.page.clone(), who))?;
        let overtaken = changes.uploaded.max(changes.forgotten);
        let age = PageAge {
            age: Some(now.saturating_duration_since(asked)),
            overtaken: overtaken.is_some_and(|at| asked <= at) || access.is_void(who, asked),
            spread: 0.0,
        };
        let unasked = UpstreamVerdict::Unasked;
        match decide(UpstreamKind::GitLab, age, unasked, &self.lifetimes) {
            Use::Show { .. } => Some(follows),
            _ => None,
        }
    }

    pub fn clear(&self) {
        self.known.clear();
    }

    /// `asked` is when the request was begun that GitLab answered so.
    pub fn remember(&self, request: &PageRequest, follows: T, asked: Instant) {
        let key = (request.page.clone(), request.caller.fingerprint());
        self.known.insert(key, (follows, asked));
    }
}
