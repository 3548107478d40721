//! Mirrors' word that a page is not to be had, remembered for a while.
//!
//! Two things come of it. A page that was taken back is not put up again by an answer to an older question that comes late
//! (a load under way in another format, a page being put on the disk behind an answer). And a page that is not there is not
//! asked for by each of those who look for it: the word stands for as long as a page would be fresh, and never longer than
//! `index.ttl`, so that what is published is soon there. Bounded by a part of `index.memory`. GitLab's refusals are
//! words to one caller and are not here. Must not decide what is a refusal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::registry::{PageRef, Route};
use crate::upstream::PassThrough;
use crate::values::quantity::Size;

/// The share of `index.memory` that refusals may take.
const MEMORY_SHARE: u64 = 32;

/// What one takes beside its address.
const ENTRY_BYTES: usize = 512;

#[derive(Clone)]
struct Refusal {
    /// When the question was sent.
    asked: Instant,
    /// What was said, if it may be said again.
    word: Option<Arc<PassThrough>>,
}

pub(super) struct Refusals(Cache<PageRef, Refusal>);

impl Refusals {
    pub(super) fn new(memory: Size) -> Self {
        let weigh = |page: &PageRef, _: &Refusal| {
            let bytes = Route::Page(page.clone()).path().len() + ENTRY_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(memory.0 / MEMORY_SHARE)
                .weigher(weigh)
                .build(),
        )
    }

    /// A question that was sent at `asked` was refused. Without a `word` everybody asks for himself.
    pub(super) fn note(&self, page: &PageRef, word: Option<PassThrough>, asked: Instant) {
        self.0.insert(
            page.clone(),
            Refusal {
                asked,
                word: word.map(Arc::new),
            },
        );
    }

    /// Whether a page that was asked for at `asked` was refused since.
    pub(super) fn overrule(&self, page: &PageRef, asked: Option<Instant>) -> bool {
        self.0
            .get(page)
            .is_some_and(|refusal| asked.is_none_or(|asked| asked <= refusal.asked))
    }

    /// What is said again without asking.
    pub(super) fn recall(
        &self,
        page: &PageRef,
        now: Instant,
        lasts: Duration,
    ) -> Option<PassThrough> {
        let Refusal { asked, word } = self.0.get(page)?;
        let fresh = now.saturating_duration_since(asked) < lasts;
        word.filter(|_| fresh).map(|word| PassThrough::clone(&word))
    }

    /// The page is there (again), by an answer to a question that was sent at `asked`.
    pub(super) fn lift(&self, page: &PageRef, asked: Instant) {
        if !self.overrule(page, Some(asked)) {
            self.0.invalidate(page);
        }
    }

    /// The next who looks for the page asks.
    pub(super) fn silence(&self, page: &PageRef) {
        if let Some(refusal) = self.0.get(page) {
            self.0.insert(
                page.clone(),
                Refusal {
                    word: None,
                    ..refusal
                },
            );
        }
    }

    pub(super) fn clear(&self) {
        self.0.invalidate_all();
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

    fn word() -> Option<PassThrough> {
        Some(PassThrough {
            status: StatusCode::NOT_FOUND,
            reason: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        })
    }

    #[test]
    fn a_refusal_overrules_what_was_asked_for_before_it_and_is_said_again_for_a_while() {
        let (refusals, now) = (Refusals::new(Size::mebibytes(1)), clock::now());
        let (a, second) = (page("a"), Duration::from_secs(1));
        assert!(!refusals.overrule(&a, None) && refusals.recall(&a, now, second).is_none());
        refusals.note(&a, word(), now);
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
        let (refusals, now) = (Refusals::new(Size::mebibytes(1)), clock::now());
        (0..1_000).for_each(|number| refusals.note(&page(&format!("a{number}")), word(), now));
        refusals.0.run_pending_tasks();
        assert!(refusals.0.weighted_size() <= (1 << 20) / MEMORY_SHARE);
    }
}
