//! Which pages were lately given that an operator should hear of: those that upstream could not
//! confirm, and those whose links lead past larder.
//!
//! For the status page and the metrics: how many, whose, and how old, never which. Bounded: beyond
//! [`PAGES_MAX`] at one time further ones are not counted. Must not know callers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::registry::{PageRef, Scope};

/// Pages remembered at one time.
const PAGES_MAX: usize = 1024;

/// For so long a page that was given counts.
const LATELY: Duration = Duration::from_secs(5 * 60);

/// Pages of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenPages {
    /// None is GitLab.
    pub mirror: Option<Scope>,
    pub pages: usize,
    /// How old the oldest was when it was last given; unknown if it was stored by an earlier
    /// process, or is not old at all.
    pub oldest: Option<Duration>,
    /// Since the last one was given.
    pub last: Duration,
}

#[derive(Debug, Default)]
pub(super) struct RecentPages(Mutex<HashMap<PageRef, RecentUse>>);

#[derive(Clone, Copy, Debug)]
struct RecentUse {
    at: Instant,
    age: Option<Duration>,
}

impl RecentPages {
    pub(super) fn note(&self, page: &PageRef, age: Option<Duration>, now: Instant) {
        let mut known = self.0.lock();
        if known.len() >= PAGES_MAX {
            known.retain(|_, given| given.is_late(now));
        }
        if known.len() < PAGES_MAX || known.contains_key(page) {
            known.insert(page.clone(), RecentUse { at: now, age });
        }
    }

    /// Each upstream of which there are any, GitLab first.
    pub(super) fn report(&self, now: Instant) -> Vec<GivenPages> {
        let mut known = self.0.lock();
        known.retain(|_, given| given.is_late(now));
        let mut all: Vec<GivenPages> = Vec::new();
        for (page, given) in known.iter() {
            let mirror = page.scope.is_mirror().then_some(&page.scope);
            let last = now.saturating_duration_since(given.at);
            match all.iter_mut().find(|stale| stale.mirror.as_ref() == mirror) {
                Some(stale) => {
                    stale.pages += 1;
                    stale.oldest = stale.oldest.max(given.age);
                    stale.last = stale.last.min(last);
                }
                None => all.push(GivenPages {
                    mirror: mirror.cloned(),
                    pages: 1,
                    oldest: given.age,
                    last,
                }),
            }
        }
        all.sort_by(|one, other| one.mirror.cmp(&other.mirror));
        all
    }
}

impl RecentUse {
    fn is_late(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < LATELY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Route;
    use crate::values::clock;

    fn page(path: &str) -> Option<PageRef> {
        match Route::from_path(path) {
            Ok(Route::Page(page)) => Some(page),
            _ => None,
        }
    }

    #[test]
    fn pages_are_counted_by_whose_they_are_and_forgotten() {
        let served = RecentPages::default();
        let now = clock::now();
        let age = |seconds| Some(Duration::from_secs(seconds));
        for (path, age) in [
            ("/pypi/simple/a/", None),
            ("/api/v4/projects/42/packages/pypi/simple/a/", age(30)),
            ("/api/v4/groups/7/-/packages/pypi/simple/a/", age(90)),
            ("/api/v4/groups/7/-/packages/pypi/simple/a/", age(95)),
        ] {
            served.note(&page(path).expect("a page"), age, now);
        }
        let report = served.report(now + Duration::from_secs(1));
        let told: Vec<_> = report
            .iter()
            .map(|stale| (stale.mirror.is_some(), stale.pages, stale.oldest))
            .collect();
        assert_eq!(told, [(false, 2, age(95)), (true, 1, None)]);
        assert_eq!(served.report(now + LATELY), []);
    }

    #[test]
    fn they_are_bounded_and_give_way_when_they_are_old() {
        let served = RecentPages::default();
        let now = clock::now();
        let note = |number: usize, at| {
            served.note(
                &page(&format!("/pypi/simple/a{number}/")).expect("a page"),
                None,
                at,
            )
        };
        (0..2 * PAGES_MAX).for_each(|number| note(number, now));
        assert_eq!(
            served.report(now).first().map(|stale| stale.pages),
            Some(PAGES_MAX)
        );
        note(3 * PAGES_MAX, now + LATELY);
        assert_eq!(
            served.report(now + LATELY).first().map(|stale| stale.pages),
            Some(1)
        );
    }
}
