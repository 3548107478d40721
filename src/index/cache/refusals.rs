//! Mirrors' refusals of pages, remembered for a while.
//!
//! Two things come of it. A page that was taken back is not put up again by an answer to an older
//! question that comes late (a fetch under way in another format, a page being written to the disk
//! behind an answer). And a page that is not there is not asked for by each request for it: the
//! refusal stands for as long as a page would be fresh, and never longer than `index.ttl`, so that
//! what is published is soon there. Bounded by a part of `index.memory`. GitLab's refusals concern
//! one caller and are not here. Must not decide what is a refusal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::registry::{PageRef, Route};
use crate::upstream::PassThrough;
use crate::values::cache::{self, Cache};
use crate::values::quantity::Size;

/// The share of `index.memory` that refusals may take.
const MEMORY_SHARE: u64 = 32;

/// What one takes beside its address.
const ENTRY_BYTES: usize = 512;

#[derive(Clone)]
struct RefusedPage {
    /// When the question was sent.
    asked: Instant,
    /// Upstream's answer, if it may be given again.
    answer: Option<Arc<PassThrough>>,
}

pub struct Refusals(Cache<PageRef, RefusedPage>);

impl Refusals {
    pub fn new(memory: Size) -> Self {
        let weigh = |page: &PageRef, _: &RefusedPage| {
            let bytes = Route::Page(page.clone()).path().len() + ENTRY_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(cache::weighed(memory.0 / MEMORY_SHARE, weigh))
    }

    /// A question that was sent at `asked` was refused. Without an `answer` each request asks for
    /// itself.
    pub fn note(&self, page: &PageRef, answer: Option<PassThrough>, asked: Instant) {
        let answer = answer.map(Arc::new);
        self.0.insert(page.clone(), RefusedPage { asked, answer });
    }

    /// Whether a page that was asked for at `asked` was refused since.
    pub fn overrule(&self, page: &PageRef, asked: Option<Instant>) -> bool {
        match (self.0.get(page), asked) {
            (Some(refusal), Some(asked)) => asked <= refusal.asked,
            (refusal, None) => refusal.is_some(),
            (None, Some(_)) => false,
        }
    }

    /// What is answered again without asking.
    pub fn recall(&self, page: &PageRef, now: Instant, lasts: Duration) -> Option<PassThrough> {
        let RefusedPage { asked, answer } = self.0.get(page)?;
        if now.saturating_duration_since(asked) >= lasts {
            return None;
        }
        Some(PassThrough::clone(&*answer?))
    }

    /// The page is there (again), by an answer to a question that was sent at `asked`.
    pub fn lift(&self, page: &PageRef, asked: Instant) {
        if !self.overrule(page, Some(asked)) {
            self.0.remove(page);
        }
    }

    /// The next request for the page asks.
    pub fn silence(&self, page: &PageRef) {
        if let Some(refusal) = self.0.get(page) {
            let asked = refusal.asked;
            let answer = None;
            self.0.insert(page.clone(), RefusedPage { asked, answer });
        }
    }

    pub fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::values::clock;

    fn page(name: &str) -> PageRef {
        match Route::from_path(&format!("/pypi/simple/{name}/")) {
            Ok(Route::Page(page)) => page,
            _ => unreachable!("a page of a mirror"),
        }
    }

    fn answer() -> Option<PassThrough> {
        Some(PassThrough {
            status: StatusCode::NOT_FOUND,
            reason: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        })
    }

    #[test]
    fn a_refusal_overrules_what_was_asked_for_before_it_and_is_said_again_for_a_while() {
        let refusals = Refusals::new(Size::mebibytes(1));
        let now = clock::now();
        let a = page("a");
        let second = Duration::from_secs(1);
        assert!(!refusals.overrule(&a, None) && refusals.recall(&a, now, second).is_none());
        refusals.note(&a, answer(), now);
        assert!(refusals.overrule(&a, Some(now - second)) && refusals.overrule(&a, None));
        assert!(!refusals.overrule(&a, Some(now + second)));
        assert!(refusals.recall(&a, now, second).is_some());
        assert!(refusals.recall(&a, now + second, second).is_none());
        assert!(refusals.recall(&a, now, Duration::ZERO).is_none());
        refusals.lift(&a, now - second);
        assert!(
            refusals.recall(&a, now, second).is_some(),
            "an older answer lifts nothing"
        );
        refusals.silence(&a);
        assert!(refusals.overrule(&a, Some(now)) && refusals.recall(&a, now, second).is_none());
        refusals.lift(&a, now + second);
        assert!(!refusals.overrule(&a, Some(now)));
    }

    #[test]
    fn they_are_bounded() {
        let refusals = Refusals::new(Size::mebibytes(1));
        let now = clock::now();
        (0..1_000).for_each(|number| refusals.note(&page(&format!("a{number}")), answer(), now));
        assert!(refusals.0.weight() <= (1 << 20) / MEMORY_SHARE);
    }
}
