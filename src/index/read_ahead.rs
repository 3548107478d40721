//! Pages that a client is about to ask for: those of what the wheel that it takes requires.
//!
//! A resolver that works through one requirement after another, as pip does, asks for these pages
//! one by one as soon as it has read the wheel. They are asked for ahead, in that caller's name, of
//! the index that gave it the wheel's own page, by the same way as the caller's own question: so it
//! finds what it would be given, or waits for the rest of the way only.
//!
//! Upstream is to be asked for nothing more than without this. So it is done for a caller alone
//! for which upstream was just asked for the wheel's page: it resolves, and finds little here. An
//! answer that is no page waits for the caller's question, once. And a caller that leaves
//! `index.read_ahead` pages unasked for, because it has them installed or wants no dependencies,
//! has no more read ahead. Owns what is remembered of callers. Must not ask upstream.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::request::PageRequest;
use crate::access::Fingerprint;
use crate::registry::{PageRef, Scope};
use crate::simple::{Format, ProjectName, WheelFilename};
use crate::upstream::PassThrough;

/// A caller is taken to resolve for so long after upstream was last asked for a page of its.
const RESOLVES_FOR: Duration = Duration::from_secs(60);

/// A page that was not asked for is held against its caller for so long.
const UNASKED_COUNTS_FOR: Duration = Duration::from_secs(600);

/// A client comes for a page within milliseconds, and has an answer that is no page from now.
const ANSWER_HELD_FOR: Duration = Duration::from_secs(10);

const CALLERS_MAX: usize = 256;

/// Of each caller.
const PROJECTS_MAX: usize = 256;

#[derive(Default)]
pub(super) struct ReadAhead(Mutex<HashMap<Fingerprint, ResolvingCaller>>);

/// A caller for which upstream was lately asked for a page.
struct ResolvingCaller {
    seen: Instant,
    /// Where it was given the page of a project, and in which format.
    given: HashMap<ProjectName, (Scope, Format)>,
    /// What was read ahead for it and not asked for yet.
    unasked: Vec<PageAhead>,
}

struct PageAhead {
    page: PageRef,
    format: Format,
    since: Instant,
    /// What upstream gave in place of a page, and in which epoch.
    answer: Option<(PassThrough, [u64; 2])>,
}

/// What a caller's question finds that was asked ahead.
pub(super) enum FoundAhead {
    Nothing,
    /// The page, or it is under way.
    Page,
    Answer(PassThrough),
}

impl ResolvingCaller {
    fn new(now: Instant) -> Self {
        Self {
            seen: now,
            given: HashMap::new(),
            unasked: Vec::new(),
        }
    }

    fn resolves(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) < RESOLVES_FOR
    }

    /// Whether there is anything to be remembered of it.
    fn counts(&mut self, now: Instant) -> bool {
        self.unasked
            .retain(|ahead| now.saturating_duration_since(ahead.since) < UNASKED_COUNTS_FOR);
        self.resolves(now) || !self.unasked.is_empty()
    }

    fn position(&self, request: &PageRequest) -> Option<usize> {
        self.unasked
            .iter()
            .position(|ahead| ahead.format == request.format && ahead.page == request.page)
    }
}

impl ReadAhead {
    /// Notes that a caller asks for a page.
    pub(super) fn asked(
        &self,
        request: &PageRequest,
        epoch: impl FnOnce() -> [u64; 2],
        now: Instant,
    ) -> FoundAhead {
        let mut callers = self.0.lock();
        let Some(caller) = callers.get_mut(&request.caller.fingerprint()) else {
            return FoundAhead::Nothing;
        };
        let Some(position) = caller.position(request) else {
            return FoundAhead::Nothing;
        };
        let ahead = caller.unasked.swap_remove(position);
        let age = now.saturating_duration_since(ahead.since);
        match ahead.answer {
            Some((answer, read_in))
                if !request.insists && age < ANSWER_HELD_FOR && read_in == epoch() =>
            {
                FoundAhead::Answer(answer)
            }
            _ => FoundAhead::Page,
        }
    }

    /// Notes that a caller was given a page that upstream was asked for.
    pub(super) fn given(&self, request: &PageRequest, now: Instant) {
        let Some(project) = &request.page.name else {
            return;
        };
        let who = request.caller.fingerprint();
        let mut callers = self.0.lock();
        if !callers.contains_key(&who) {
            callers.retain(|_, caller| caller.counts(now));
            if callers.len() >= CALLERS_MAX {
                return;
            }
        }
        let new = || ResolvingCaller::new(now);
        let caller = callers.entry(who).or_insert_with(new);
        if !caller.resolves(now) || caller.given.len() >= PROJECTS_MAX {
            caller.given.clear();
        }
        caller.seen = now;
        let place = (request.page.scope.clone(), request.format);
        caller.given.insert(project.clone(), place);
    }

    /// Where this caller was given the page of the project, if it resolves.
    pub(super) fn place(
        &self,
        who: Fingerprint,
        wheel: &str,
        now: Instant,
    ) -> Option<(Scope, Format)> {
        let callers = self.0.lock();
        let caller = callers.get(&who)?;
        if !caller.resolves(now) {
            return None;
        }
        let wheel = WheelFilename::parse(wheel)?;
        caller.given.get(&wheel.project).cloned()
    }

    /// Whether a page may be read ahead, which then waits to be asked for; at most so many do.
    pub(super) fn begin(&self, request: &PageRequest, most: usize, now: Instant) -> bool {
        let mut callers = self.0.lock();
        let Some(caller) = callers.get_mut(&request.caller.fingerprint()) else {
            return false;
        };
        let may =
            caller.counts(now) && caller.unasked.len() < most && caller.position(request).is_none();
        if may {
            caller.unasked.push(PageAhead {
                page: request.page.clone(),
                format: request.format,
                since: now,
                answer: None,
            });
        }
        may
    }

    /// Keeps what upstream gave in place of a page, unless it was asked for meanwhile.
    pub(super) fn hold(&self, request: &PageRequest, answer: PassThrough, epoch: [u64; 2]) {
        let mut callers = self.0.lock();
        if let Some(caller) = callers.get_mut(&request.caller.fingerprint())
            && let Some(position) = caller.position(request)
        {
            caller.unasked[position].answer = Some((answer, epoch));
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests own their clock")]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::access::Caller;

    const EPOCH: [u64; 2] = [1, 1];

    fn request(name: &str) -> PageRequest {
        let scope = Scope::mirror("pypi").expect("a scope");
        PageRequest {
            caller: Caller::anonymous(),
            page: PageRef::parse(scope, name).expect("a page"),
            format: Format::Json,
            insists: false,
        }
    }

    fn found(
        table: &ReadAhead,
        request: &PageRequest,
        epoch: [u64; 2],
        now: Instant,
    ) -> &'static str {
        match table.asked(request, || epoch, now) {
            FoundAhead::Nothing => "nothing",
            FoundAhead::Page => "page",
            FoundAhead::Answer(_) => "answer",
        }
    }

    fn refusal() -> PassThrough {
        PassThrough {
            status: StatusCode::NOT_FOUND,
            reason: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    #[test]
    fn a_caller_resolves_for_a_while_and_where_it_was_given_the_wheels_page() {
        let start = Instant::now();
        let table = ReadAhead::default();
        let who = Caller::anonymous().fingerprint();
        let wheel = "whole-1.0-py3-none-any.whl";
        assert!(table.place(who, wheel, start).is_none());
        assert!(!table.begin(&request("part"), 8, start));
        table.given(&request("whole"), start);
        let scope = Scope::mirror("pypi").expect("a scope");
        assert_eq!(table.place(who, wheel, start), Some((scope, Format::Json)));
        assert!(
            table
                .place(who, "other-1.0-py3-none-any.whl", start)
                .is_none()
        );
        assert!(table.place(who, "whole-1.0.tar.gz", start).is_none());
        assert!(table.place(who, wheel, start + RESOLVES_FOR).is_none());
    }

    #[test]
    fn unasked_pages_are_bounded_and_forgiven_in_time() {
        let start = Instant::now();
        let table = ReadAhead::default();
        table.given(&request("whole"), start);
        assert!(table.begin(&request("one"), 2, start));
        assert!(!table.begin(&request("one"), 2, start), "once");
        assert!(table.begin(&request("two"), 2, start));
        assert!(!table.begin(&request("three"), 2, start), "two wait");
        assert_eq!(found(&table, &request("one"), EPOCH, start), "page");
        assert_eq!(found(&table, &request("one"), EPOCH, start), "nothing");
        assert!(table.begin(&request("three"), 2, start));
        let later = start + UNASKED_COUNTS_FOR;
        table.given(&request("whole"), later);
        assert!(table.begin(&request("four"), 2, later));
        let html = PageRequest {
            format: Format::Html,
            ..request("four")
        };
        assert_eq!(found(&table, &html, EPOCH, later), "nothing");
    }

    #[test]
    fn an_answer_waits_once_for_a_while_and_in_its_epoch_alone() {
        let start = Instant::now();
        let late = start + ANSWER_HELD_FOR;
        let insisting = PageRequest {
            insists: true,
            ..request("part")
        };
        for (asked, epoch, now, told) in [
            (request("part"), EPOCH, start, "answer"),
            (request("part"), [2, 1], start, "page"),
            (request("part"), [1, 2], start, "page"),
            (request("part"), EPOCH, late, "page"),
            (insisting, EPOCH, start, "page"),
        ] {
            let table = ReadAhead::default();
            table.given(&request("whole"), start);
            assert!(table.begin(&request("part"), 8, start));
            table.hold(&request("part"), refusal(), EPOCH);
            assert_eq!(found(&table, &asked, epoch, now), told, "{epoch:?}");
            assert_eq!(found(&table, &asked, epoch, now), "nothing", "once");
            table.hold(&request("part"), refusal(), EPOCH);
            assert_eq!(found(&table, &asked, epoch, now), "nothing", "too late");
        }
    }
}
