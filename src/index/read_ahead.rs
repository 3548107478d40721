//! Pages that a client is about to ask for: those of what the wheel that it takes requires.
//!
//! A resolver that works through one requirement after another, as pip does, asks for these pages
//! one by one as soon as it has read the wheel. They are asked for ahead, in that caller's name, of
//! the index whose page gave it this very wheel, by the same way as the caller's own question: so
//! it finds what it would be given, or waits for the rest of the way only.
//!
//! What a private wheel requires may be private too, and be kept at another index, which the
//! caller asks for itself. So what is read ahead reaches no index that did not give the wheel:
//! another page of the project's name is no reason to ask, and where GitLab redirects, the redirect
//! waits for the caller's own question, which alone follows it.
//!
//! Upstream is to be asked for nothing more than without this. So it is done for a caller alone
//! for which upstream was just asked for the wheel's page: it resolves, and finds little here. An
//! answer that is no page waits for the caller's question, once. And a caller that leaves
//! `index.read_ahead` pages unasked for, because it has them installed or wants no dependencies,
//! has no more read ahead. Nor has, for a while, one for which that failed, or was answered with a
//! request for a pause: the one question that the caller asks again is all that it costs. A page
//! that turned out too large to keep is left to the caller from then on. Owns what is remembered of
//! callers. Must not ask upstream.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::cache::page::Page;
use super::request::PageRequest;
use super::rewrite::mirror_files::MirrorFiles;
use crate::access::{Fingerprint, ListedFiles};
use crate::registry::{FileRef, PageRef, Scope};
use crate::simple::{Format, WheelFilename};
use crate::upstream::{ForwardTarget, PassThrough};
use crate::values::cache::{self, Cache};

/// A caller is taken to resolve for so long after upstream was last asked for a page of its.
const RESOLVES_FOR: Duration = Duration::from_secs(60);

/// A page that was not asked for is held against its caller for so long.
const UNASKED_COUNTS_FOR: Duration = Duration::from_secs(600);

/// A client comes for a page within milliseconds, and has an answer that is no page from now.
const ANSWER_HELD_FOR: Duration = Duration::from_secs(10);

/// The largest body that is held, of which most have some hundred bytes, and the bytes of all.
const HELD_BODY_MAX: usize = 64 << 10;
const HELD_BYTES_MAX: usize = 1 << 20;

/// Nothing is read ahead for a caller for so long after that failed.
const RESTS_FOR: Duration = Duration::from_secs(60);

const CALLERS_MAX: usize = 256;

/// Remembered to be too large to keep, for so long.
const TOO_LARGE_MAX: u64 = 1024;
const TOO_LARGE_FOR: Duration = Duration::from_secs(3600);

/// Of each caller.
const PAGES_MAX: usize = 256;

pub(super) struct ReadAhead {
    callers: Mutex<HashMap<Fingerprint, ResolvingCaller, RandomState>>,
    too_large: Cache<PageRef, ()>,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self {
            callers: Mutex::default(),
            too_large: cache::bounded_for(TOO_LARGE_MAX, TOO_LARGE_FOR),
        }
    }
}

/// A caller for which upstream was lately asked for a page.
struct ResolvingCaller {
    seen: Instant,
    /// The pages of projects that it was given, the latest at the end.
    given: Vec<GivenPage>,
    /// What was read ahead for it and not asked for yet.
    unasked: Vec<PageAhead>,
    rests_since: Option<Instant>,
}

struct GivenPage {
    page: PageRef,
    format: Format,
    files: GivenFiles,
}

/// Which files a page lists, for as long as the page is kept.
pub(super) struct GivenFiles {
    listed: Vec<(Scope, Weak<ListedFiles>)>,
    mirrored: Weak<MirrorFiles>,
}

impl GivenFiles {
    pub(super) fn of(page: &Page) -> Self {
        let mut listed = Vec::new();
        for (scope, files) in page.listings() {
            listed.push((scope.clone(), Arc::downgrade(files)));
        }
        Self {
            listed,
            mirrored: Arc::downgrade(page.mirror_files()),
        }
    }

    fn contain(&self, file: &FileRef) -> bool {
        if let Some(path) = file.mirror_path() {
            let Some(files) = self.mirrored.upgrade() else {
                return false;
            };
            let Some(listed) = files.find(path) else {
                return false;
            };
            return listed.sha256.is_none_or(|digest| digest == file.digest);
        }
        for (scope, files) in &self.listed {
            if *scope == file.scope
                && let Some(files) = files.upgrade()
            {
                return files.contains(file);
            }
        }
        false
    }
}

impl GivenPage {
    /// Whether this page gave the file. A mirror's page gives that mirror's files alone; one that
    /// came in GitLab's place gives a mirror's too.
    fn gave(&self, file: &FileRef) -> bool {
        let scope = &self.page.scope;
        (!scope.is_mirror() || *scope == file.scope) && self.files.contain(file)
    }
}

struct PageAhead {
    page: PageRef,
    format: Format,
    since: Instant,
    /// What upstream gave in place of a page, and in which epoch.
    answer: Option<(AnswerAhead, [u64; 2])>,
}

/// What upstream gave in place of a page.
pub(super) enum AnswerAhead {
    PassThrough(PassThrough),
    /// GitLab's redirect, which the caller's own question follows.
    Forward {
        answer: PassThrough,
        to: Box<ForwardTarget>,
    },
}

impl AnswerAhead {
    fn body_bytes(&self) -> usize {
        match self {
            Self::PassThrough(answer) | Self::Forward { answer, .. } => answer.body.len(),
        }
    }
}

impl PageAhead {
    /// Drops an answer that is too old to be told.
    fn expire(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= ANSWER_HELD_FOR {
            self.answer = None;
        }
    }

    fn held_bytes(&self) -> usize {
        match &self.answer {
            Some((answer, _)) => answer.body_bytes(),
            None => 0,
        }
    }
}

/// What a caller's question finds that was asked ahead.
pub(super) enum FoundAhead {
    Nothing,
    /// The page, or it is under way.
    Page,
    /// And when upstream was asked.
    Answer(Box<AnswerAhead>, Instant),
}

impl ResolvingCaller {
    fn new(now: Instant) -> Self {
        Self {
            seen: now,
            given: Vec::new(),
            unasked: Vec::new(),
            rests_since: None,
        }
    }

    fn resolves(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) < RESOLVES_FOR
    }

    fn rests(&self, now: Instant) -> bool {
        let since = self.rests_since;
        since.is_some_and(|since| now.saturating_duration_since(since) < RESTS_FOR)
    }

    /// Whether there is anything to be remembered of it.
    fn counts(&mut self, now: Instant) -> bool {
        self.unasked
            .retain(|ahead| now.saturating_duration_since(ahead.since) < UNASKED_COUNTS_FOR);
        for ahead in &mut self.unasked {
            ahead.expire(now);
        }
        self.resolves(now) || self.rests(now) || !self.unasked.is_empty()
    }

    fn position(&self, request: &PageRequest) -> Option<usize> {
        let mut unasked = self.unasked.iter();
        unasked.position(|ahead| ahead.format == request.format && ahead.page == request.page)
    }
}

impl ReadAhead {
    /// Whether it is a page that this caller was expected to ask for.
    pub(super) fn expects(&self, request: &PageRequest) -> bool {
        let callers = self.callers.lock();
        let caller = callers.get(&request.caller.fingerprint());
        caller.is_some_and(|caller| caller.position(request).is_some())
    }

    /// Notes that a caller asks for a page.
    pub(super) fn asked(
        &self,
        request: &PageRequest,
        epoch: impl FnOnce() -> [u64; 2],
        now: Instant,
    ) -> FoundAhead {
        let mut callers = self.callers.lock();
        let Some(caller) = callers.get_mut(&request.caller.fingerprint()) else {
            return FoundAhead::Nothing;
        };
        let Some(position) = caller.position(request) else {
            return FoundAhead::Nothing;
        };
        let mut ahead = caller.unasked.swap_remove(position);
        ahead.expire(now);
        match ahead.answer {
            Some((answer, read_in)) if !request.insists && read_in == epoch() => {
                FoundAhead::Answer(Box::new(answer), ahead.since)
            }
            _ => FoundAhead::Page,
        }
    }

    /// Notes that a caller was given a page that upstream was asked for, which lists these files.
    pub(super) fn given(&self, request: &PageRequest, files: GivenFiles, now: Instant) {
        if request.page.name.is_none() {
            return;
        }
        let who = request.caller.fingerprint();
        let mut callers = self.callers.lock();
        if !callers.contains_key(&who) {
            callers.retain(|_, caller| caller.counts(now));
            if callers.len() >= CALLERS_MAX {
                return;
            }
        }
        let new = || ResolvingCaller::new(now);
        let caller = callers.entry(who).or_insert_with(new);
        if !caller.resolves(now) || caller.given.len() >= PAGES_MAX {
            caller.given.clear();
        }
        caller.seen = now;
        let given = GivenPage {
            page: request.page.clone(),
            format: request.format,
            files,
        };
        let is_another =
            |known: &GivenPage| known.page != given.page || known.format != given.format;
        caller.given.retain(is_another);
        caller.given.push(given);
    }

    /// Which page gave this caller the wheel, and in which format, if it resolves and there is room
    /// for another page: so many may wait.
    pub(super) fn place(
        &self,
        who: Fingerprint,
        wheel: &FileRef,
        most: usize,
        now: Instant,
    ) -> Option<(Scope, Format)> {
        let mut callers = self.callers.lock();
        let caller = callers.get_mut(&who)?;
        let has_room = caller.counts(now) && caller.unasked.len() < most;
        if !has_room || !caller.resolves(now) || caller.rests(now) {
            return None;
        }
        let project = WheelFilename::parse(wheel.filename.as_str())?.project;
        for given in caller.given.iter().rev() {
            if given.page.name.as_ref() == Some(&project) && given.gave(wheel) {
                return Some((given.page.scope.clone(), given.format));
            }
        }
        None
    }

    /// Whether a page may be read ahead, which then waits to be asked for; at most so many do.
    pub(super) fn begin(&self, request: &PageRequest, most: usize, now: Instant) -> bool {
        let mut callers = self.callers.lock();
        let Some(caller) = callers.get_mut(&request.caller.fingerprint()) else {
            return false;
        };
        let may = caller.counts(now)
            && !caller.rests(now)
            && caller.unasked.len() < most
            && caller.position(request).is_none();
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

    /// Reading ahead failed for this caller.
    pub(super) fn rest(&self, who: Fingerprint, now: Instant) {
        if let Some(caller) = self.callers.lock().get_mut(&who) {
            caller.rests_since = Some(now);
        }
    }

    pub(super) fn note_too_large(&self, page: PageRef) {
        self.too_large.insert(page, ());
    }

    pub(super) fn is_too_large(&self, page: &PageRef) -> bool {
        self.too_large.get(page).is_some()
    }

    /// Keeps what upstream gave in place of a page, unless it was asked for meanwhile, or is large.
    pub(super) fn hold(
        &self,
        request: &PageRequest,
        answer: AnswerAhead,
        epoch: [u64; 2],
        now: Instant,
    ) {
        let body = answer.body_bytes();
        if body > HELD_BODY_MAX {
            return;
        }
        let mut callers = self.callers.lock();
        let mut held = 0;
        for ahead in callers.values_mut().flat_map(|caller| &mut caller.unasked) {
            ahead.expire(now);
            held += ahead.held_bytes();
        }
        if held + body <= HELD_BYTES_MAX
            && let Some(caller) = callers.get_mut(&request.caller.fingerprint())
            && let Some(position) = caller.position(request)
        {
            caller.unasked[position].answer = Some((answer, epoch));
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests own their clock")]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::access::Caller;
    use crate::registry::{Route, ScopeKind};

    const EPOCH: [u64; 2] = [1, 1];

    fn project(id: &str) -> Scope {
        Scope::parse(ScopeKind::Project, id).expect("a scope")
    }

    fn request(name: &str) -> PageRequest {
        requested(project("1"), name)
    }

    fn requested(scope: Scope, name: &str) -> PageRequest {
        PageRequest {
            caller: Caller::anonymous(),
            page: PageRef::parse(scope, name).expect("a page"),
            format: Format::Json,
            insists: false,
            ahead: false,
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
            FoundAhead::Answer(..) => "answer",
        }
    }

    fn refusal(bytes: usize) -> AnswerAhead {
        AnswerAhead::PassThrough(PassThrough {
            status: StatusCode::NOT_FOUND,
            reason: None,
            headers: HeaderMap::new(),
            body: vec![0; bytes].into(),
        })
    }

    /// A file of GitLab's by its project, its digest's digits and its name.
    fn file(project: &str, digit: &str, name: &str) -> FileRef {
        let digest = digit.repeat(64);
        let path = format!("/api/v4/projects/{project}/packages/pypi/files/{digest}/{name}");
        let uri = path.parse().expect("a path");
        match Route::parse(&http::Method::GET, &uri) {
            Ok(Route::File(file)) => file,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn nothing() -> GivenFiles {
        GivenFiles {
            listed: Vec::new(),
            mirrored: Weak::new(),
        }
    }

    fn listing(scope: &Scope, files: &Arc<ListedFiles>) -> GivenFiles {
        GivenFiles {
            listed: vec![(scope.clone(), Arc::downgrade(files))],
            mirrored: Weak::new(),
        }
    }

    #[test]
    fn a_caller_resolves_for_a_while_and_where_it_was_given_this_very_wheel() {
        let start = Instant::now();
        let table = ReadAhead::default();
        let who = Caller::anonymous().fingerprint();
        let wheel = file("1", "a", "whole-1.0-py3-none-any.whl");
        assert!(table.place(who, &wheel, 8, start).is_none());
        assert!(!table.begin(&request("part"), 8, start));
        let source = file("1", "a", "whole-1.0.tar.gz");
        let files = Arc::new(ListedFiles::new([&wheel, &source]));
        let page = |id: &str| {
            (
                requested(project(id), "whole"),
                listing(&project(id), &files),
            )
        };
        let (here, listed) = page("1");
        table.given(&here, listed, start);
        let place = Some((project("1"), Format::Json));
        assert_eq!(table.place(who, &wheel, 8, start), place);
        for another in [
            file("2", "a", "whole-1.0-py3-none-any.whl"),
            file("1", "b", "whole-1.0-py3-none-any.whl"),
            file("1", "a", "other-1.0-py3-none-any.whl"),
            source.clone(),
        ] {
            assert!(
                table.place(who, &another, 8, start).is_none(),
                "{another:?}"
            );
        }
        // A page of the same project's name at another index, or of an index of that name.
        let (there, listed) = page("2");
        table.given(&there, listed, start);
        let mirror = Scope::mirror("pypi").expect("a scope");
        let listed = listing(&project("1"), &files);
        table.given(&requested(mirror, "whole"), listed, start);
        assert_eq!(table.place(who, &wheel, 8, start), place);
        assert!(table.place(who, &wheel, 8, start + RESOLVES_FOR).is_none());
        assert!(table.place(who, &wheel, 0, start).is_none(), "no room");
        assert!(table.begin(&request("part"), 8, start));
        assert!(table.place(who, &wheel, 1, start).is_none(), "no room");
        assert_eq!(table.place(who, &wheel, 2, start), place);
        // The page is not kept any more.
        drop(files);
        assert!(table.place(who, &wheel, 8, start).is_none());
    }

    #[test]
    fn unasked_pages_are_bounded_and_forgiven_in_time() {
        let start = Instant::now();
        let table = ReadAhead::default();
        table.given(&request("whole"), nothing(), start);
        assert!(table.begin(&request("one"), 2, start));
        assert!(!table.begin(&request("one"), 2, start), "once");
        assert!(table.begin(&request("two"), 2, start));
        assert!(!table.begin(&request("three"), 2, start), "two wait");
        assert_eq!(found(&table, &request("one"), EPOCH, start), "page");
        assert_eq!(found(&table, &request("one"), EPOCH, start), "nothing");
        assert!(table.begin(&request("three"), 2, start));
        let later = start + UNASKED_COUNTS_FOR;
        table.given(&request("whole"), nothing(), later);
        assert!(table.begin(&request("four"), 2, later));
        let html = PageRequest {
            format: Format::Html,
            ..request("four")
        };
        assert_eq!(found(&table, &html, EPOCH, later), "nothing");
    }

    #[test]
    fn a_caller_for_which_it_failed_rests_for_a_while() {
        let start = Instant::now();
        let table = ReadAhead::default();
        let who = Caller::anonymous().fingerprint();
        let wheel = file("1", "a", "whole-1.0-py3-none-any.whl");
        let files = Arc::new(ListedFiles::new([&wheel]));
        let give = |now| table.given(&request("whole"), listing(&project("1"), &files), now);
        give(start);
        assert!(table.begin(&request("one"), 8, start));
        table.rest(who, start);
        let last = start + RESTS_FOR - Duration::from_millis(1);
        give(last);
        assert!(table.place(who, &wheel, 8, last).is_none());
        assert!(!table.begin(&request("two"), 8, last));
        let later = start + RESTS_FOR;
        assert!(table.place(who, &wheel, 8, later).is_some());
        assert!(table.begin(&request("two"), 8, later));
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
            table.given(&request("whole"), nothing(), start);
            assert!(table.begin(&request("part"), 8, start));
            table.hold(&request("part"), refusal(0), EPOCH, start);
            assert_eq!(found(&table, &asked, epoch, now), told, "{epoch:?}");
            assert_eq!(found(&table, &asked, epoch, now), "nothing", "once");
            table.hold(&request("part"), refusal(0), EPOCH, start);
            assert_eq!(found(&table, &asked, epoch, now), "nothing", "too late");
        }
    }
    #[test]
    fn small_answers_are_held_up_to_a_bound_and_no_longer_than_they_are_told() {
        let start = Instant::now();
        let table = ReadAhead::default();
        table.given(&request("whole"), nothing(), start);
        let hold = |name: &str, bytes, now| {
            assert!(table.begin(&request(name), 64, now), "{name}");
            table.hold(&request(name), refusal(bytes), EPOCH, now);
        };
        hold("large", HELD_BODY_MAX + 1, start);
        let most = HELD_BYTES_MAX / HELD_BODY_MAX;
        for number in 0..=most {
            hold(&format!("part-{number}"), HELD_BODY_MAX, start);
        }
        assert_eq!(held_bytes(&table), HELD_BYTES_MAX);
        assert_eq!(found(&table, &request("large"), EPOCH, start), "page");
        assert_eq!(found(&table, &request("part-0"), EPOCH, start), "answer");
        let name = format!("part-{most}");
        assert_eq!(found(&table, &request(&name), EPOCH, start), "page");
        // Of another caller, or of none: whatever is asked next drops what is too old.
        let later = start + ANSWER_HELD_FOR;
        hold("late", 1, later);
        assert_eq!(held_bytes(&table), 1);
        table.given(&request("whole"), nothing(), later + ANSWER_HELD_FOR);
        assert!(table.begin(&request("latest"), 64, later + ANSWER_HELD_FOR));
        assert_eq!(held_bytes(&table), 0);
    }

    fn held_bytes(table: &ReadAhead) -> usize {
        let callers = table.callers.lock();
        let unasked = callers.values().flat_map(|caller| &caller.unasked);
        unasked.map(PageAhead::held_bytes).sum()
    }
}
