//! One question to upstream about a page, shared by all requests that wait for the answer.
//!
//! Owns what is remembered of pages and for how long it counts, the single flight, and what an
//! answer means for one caller: an answer decides for the caller in whose name upstream was asked,
//! and for no other. Must not choose which page a request is answered with.

mod ask;
pub mod body;
mod changed_files;
mod file_hosts;
mod status;
mod stored;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use self::body::PageStream;
use super::cache::freshness::{Lifetimes, PageAge, UpstreamKind, UpstreamVerdict, Use, decide};
use super::cache::large_pages::LargePages;
use super::cache::memory::{BodyId, CacheEntry, CacheKey, Memory};
use super::cache::page::Page;
use super::cache::refusals::Refusals;
use super::change_mark::ChangeMark;
use super::config::IndexConfig;
use super::dates::UploadDates;
use super::error::PageError;
use super::page_counts::PageCounts;
use super::request::{PageReply, PageRequest};
use super::sources::PageSources;
use super::view_counts::ViewCounts;
use crate::access::{Access, AuthVerdict, Authorization, Fingerprint, Permit, verdict};
use crate::registry::policy::{JudgedFile, PolicyCounts, PolicyRefusal};
use crate::registry::{KnownBad, PageRef, ScopeKind};
use crate::simple::Format;
use crate::store::{Holdings, Learned, MetadataIndex, PageStore};
use crate::upstream::{ForwardTarget, PassThrough, Upstream};
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::clock;
use crate::values::ends::Ends;
use crate::values::single_flight::{SharedResult, SingleFlight};

/// Pages remembered at once that are to be asked for again.
const INVALIDATED_MAX: u64 = 65_536;

/// What upstream gave when it was asked for a page; shared by all requests that waited for it.
#[derive(Clone)]
pub enum Fetched {
    Page {
        page: Arc<Page>,
        body: BodyId,
        asked: Instant,
        not_modified: bool,
    },
    /// Nothing had to be asked.
    Fresh(Arc<Page>),
    /// Too large to keep. For one taker; the others ask for themselves.
    TooLarge(Arc<Mutex<Option<Box<PageStream>>>>),
    /// GitLab has no such package, for this caller.
    Forward {
        answer: PassThrough,
        to: Box<ForwardTarget>,
    },
    Refused(PassThrough),
    Failed(PageError),
    /// Asked ahead, and it failed: a caller that waited for it asks for itself.
    FailedAhead,
    /// Given to another caller, and no answer for this one.
    Foreign,
}

impl Fetched {
    /// The same, if it was asked ahead of any caller's question.
    fn ahead(self, page: &PageRef) -> Self {
        match self {
            Self::Failed(why) => {
                tracing::debug!(page = %page.path(), error = %why, "a page cannot be read ahead");
                Self::FailedAhead
            }
            Self::Refused(answer) if answer.asks_for_a_pause() => Self::FailedAhead,
            other => other,
        }
    }
}

impl From<PageError> for Fetched {
    fn from(why: PageError) -> Self {
        Self::Failed(why)
    }
}

impl From<Fetched> for PageError {
    fn from(fetched: Fetched) -> Self {
        match fetched {
            Fetched::Failed(why) => why,
            _ => Self::Internal,
        }
    }
}

/// One fetch at a time for an entry. Callers whose right stands share it; others ask in their own
/// name. No request joins one that was begun before an upload, or before rights were revoked.
type FetchKey = (CacheKey, Option<Fingerprint>, [u64; 2]);

/// What the index room works with.
#[derive(Clone)]
pub struct PageDependencies {
    pub upstream: Arc<Upstream>,
    pub access: Arc<Access>,
    pub page_store: PageStore,
    pub metadata_index: Arc<MetadataIndex>,
    /// What was learned of upstreams.
    pub learned: Arc<Learned>,
    /// Wheels of a page whose metadata is read before a client asks for it.
    pub prefetch: usize,
    /// What changed through this process.
    pub changes: Arc<ChangeMark>,
    /// Sizes and upload dates of the files of GitLab's pages.
    pub dates: Arc<UploadDates>,
    /// What policies keep from clients.
    pub policy_counts: Arc<PolicyCounts>,
    /// What pages say of their projects, and what changes on them.
    pub page_counts: Arc<PageCounts>,
    /// What became of requests to views.
    pub view_counts: Arc<ViewCounts>,
    /// Offline: what is here is all there is.
    pub held: Option<Holdings>,
}

pub struct Fetcher {
    pub config: IndexConfig,
    pub dependencies: PageDependencies,
    pub memory: Memory,
    refusals: Refusals,
    /// What is known of pages that are too large to keep.
    pub large: LargePages,
    fetches: Arc<SingleFlight<FetchKey, Fetched>>,
    /// Pages that are made again with dates.
    remakes: Arc<SingleFlight<BodyId, Option<Arc<Page>>>>,
    slots: Semaphore,
    pub sources: PageSources,
    /// Pages that are to be asked for again, and since when.
    invalidated: Ends<PageRef>,
    /// Held by each write behind an answer.
    writing: Arc<()>,
}

/// When a question was sent, by both clocks: what the disk remembers has to mean something after a
/// restart.
#[derive(Clone, Copy)]
struct AskedAt {
    at: Instant,
    wall: SystemTime,
}

impl AskedAt {
    /// When the question was sent that a larder upstream last had an answer to, of which it gave
    /// what it knew `age` later: it is no fresher here than there.
    fn before(self, age: Duration) -> Self {
        match (self.at.checked_sub(age), self.wall.checked_sub(age)) {
            (Some(at), Some(wall)) => Self { at, wall },
            _ => self,
        }
    }
}

impl Fetcher {
    pub fn new(
        config: IndexConfig,
        sources: PageSources,
        dependencies: PageDependencies,
    ) -> Arc<Self> {
        let slots = Semaphore::new(config.max_fetches.clamp(1, Semaphore::MAX_PERMITS));
        Arc::new(Self {
            memory: Memory::new(config.memory),
            refusals: Refusals::new(config.memory),
            large: LargePages::new(),
            config,
            sources,
            dependencies,
            fetches: SingleFlight::new(),
            remakes: SingleFlight::new(),
            slots,
            invalidated: Ends::bounded(INVALIDATED_MAX),
            writing: Arc::default(),
        })
    }

    pub fn access(&self) -> &Access {
        &self.dependencies.access
    }

    pub fn changes(&self) -> &ChangeMark {
        &self.dependencies.changes
    }

    /// Fetches under way.
    pub fn fetching(&self) -> usize {
        self.fetches.len()
    }

    /// From now on this page, and no other, has to be asked for before it counts as fresh.
    pub fn invalidate(&self, page: &PageRef, now: Instant) {
        self.invalidated.note(page.clone(), now);
        self.refusals.silence(page);
        // So that no fetch from before is joined.
        self.changes().advance();
    }

    /// What is in memory counts no more, and neither does what is on its way there.
    pub fn forget(&self, now: Instant) {
        self.changes().forgotten(now);
        self.memory.clear();
        self.refusals.clear();
        self.large.clear();
    }

    /// Lets a page that is about to be shown find out about new metadata.
    pub async fn annotate(&self, page: &Arc<Page>) {
        let metadata_index = &self.dependencies.metadata_index;
        if !page.knows_all(metadata_index) {
            page.annotate_again(metadata_index, clock::now()).await;
        }
    }

    /// Whether the page must be made again before it is shown: a file has come of age, or has its
    /// date now, or policies changed.
    pub fn is_due_again(&self, key: &CacheKey, page: &Page) -> bool {
        page.is_judged_otherwise(self.sources.policies(), clock::wall)
            || self.lacks_dates(key, page)
    }

    /// Whether dates have become known since the page was made, which it shows or is judged by.
    fn lacks_dates(&self, key: &CacheKey, page: &Page) -> bool {
        let address = key.page();
        let is_judged = self.sources.policies().age(&address.scope).is_some();
        let uses_dates = key.format() == Format::Json || is_judged;
        let known_now = || self.dependencies.dates.mark(address);
        uses_dates && !address.scope.is_mirror() && page.lacks_dates(is_judged, known_now)
    }

    /// Whether a page may list a file that policies refuse by now, or by what is known now.
    pub fn may_show_refused(&self, key: &CacheKey, page: &Page) -> bool {
        let policies = self.sources.policies();
        page.may_show_refused(policies, clock::wall)
            || (policies.age(&key.page().scope).is_some() && self.lacks_dates(key, page))
    }

    /// Judges a file that is asked for by a caller who may see it, and counts what is said.
    ///
    /// # Errors
    /// Why no caller may have it.
    pub fn judge(&self, file: &JudgedFile<'_>) -> Result<(), PolicyRefusal> {
        let judged = self.check(file);
        if let Err(refusal) = &judged {
            self.count_refusal(refusal);
        } else if let Some(known) = self.sources.policies().notice(file) {
            self.say_vulnerable(file.filename, &known);
        }
        judged
    }

    /// The judgement alone.
    ///
    /// # Errors
    /// Why no caller may have it.
    pub fn check(&self, file: &JudgedFile<'_>) -> Result<(), PolicyRefusal> {
        let now = clock::wall();
        self.sources.policies().judge(file, now).check(now)
    }

    /// Counts a refusal that a caller is told.
    pub fn count_refusal(&self, refusal: &PolicyRefusal) {
        let counts = &self.dependencies.policy_counts;
        counts.refuse(refusal.reason.label());
    }

    /// Counts a file that is given although it is known to be vulnerable, and says so once.
    pub fn say_vulnerable(&self, filename: &str, known: &KnownBad) {
        let counts = &self.dependencies.policy_counts;
        if counts.give_vulnerable(filename, known) {
            let severity = known.severity.unwrap_or_default();
            tracing::warn!(
                file = filename,
                id = %known.id,
                %severity,
                "a file with a known vulnerability is given (policy.vulnerable)"
            );
        }
    }

    pub fn standing(&self, request: &PageRequest, now: Instant) -> Authorization {
        let who = request.caller.fingerprint();
        self.access().page(who, &request.page, now)
    }

    /// What becomes of an entry's page.
    pub fn decide(
        &self,
        key: &CacheKey,
        entry: &CacheEntry,
        verdict: UpstreamVerdict,
        now: Instant,
    ) -> Use {
        let spread = entry.body.spread();
        self.decide_as_of(key.page(), Some(entry.asked), spread, verdict, now)
    }

    /// What becomes of a page that upstream last confirmed when it was asked at `asked`.
    pub fn decide_as_of(
        &self,
        page: &PageRef,
        asked: Option<Instant>,
        spread: f64,
        verdict: UpstreamVerdict,
        now: Instant,
    ) -> Use {
        let changed = self.changes().read();
        let (upstream, ttl, uploaded) = match self.sources.mirror(&page.scope) {
            // An upload goes to GitLab, and changes nothing elsewhere.
            Some(mirror) => (UpstreamKind::Mirror, mirror.ttl, None),
            None => (UpstreamKind::GitLab, self.config.ttl.0, changed.uploaded),
        };
        let all_overtaken = uploaded.max(changed.forgotten);
        let overtaken = all_overtaken.is_some_and(|at| asked.is_none_or(|asked| asked <= at));
        let age = PageAge {
            age: asked.map(|asked| now.saturating_duration_since(asked)),
            overtaken: overtaken || self.invalidated.overtake(page, asked),
            spread,
        };
        let lifetimes = Lifetimes {
            ttl,
            while_revalidate: self.config.stale_while_revalidate.0,
            if_error: self.config.stale_if_error.0,
        };
        // Said meanwhile, to a request for another format.
        if upstream == UpstreamKind::Mirror && self.refusals.overrule(page, asked) {
            return decide(upstream, age, UpstreamVerdict::Ended, &lifetimes);
        }
        decide(upstream, age, verdict, &lifetimes)
    }

    /// What a mirror said lately of a page that it does not give.
    pub fn refused_lately(&self, page: &PageRef, now: Instant) -> Option<PassThrough> {
        let lasts = self.sources.mirror(&page.scope)?.ttl.min(self.config.ttl.0);
        self.refusals.recall(page, now, lasts)
    }

    /// Whether so many uses since it was last asked for make a page worth renewing before it
    /// lapses.
    pub fn is_hot(&self, uses: u32) -> bool {
        self.config.refresh_ahead_hits > 0 && uses >= self.config.refresh_ahead_hits
    }

    /// Fetches a page, or waits for the fetch of it that is under way.
    ///
    /// `asker` is set for a caller whose right is not known, who shares fetches with no other.
    /// `seen` is when the page was asked for that the caller found not good enough; a newer one
    /// will do.
    pub async fn fetch(
        self: &Arc<Self>,
        request: &PageRequest,
        key: &CacheKey,
        asker: Option<Fingerprint>,
        seen: Option<Instant>,
    ) -> Result<SharedResult<Fetched>, PageError> {
        loop {
            let shared = self.fetch_or_wait(request, key, asker, seen).await?;
            if request.ahead || !matches!(shared.value, Fetched::FailedAhead) {
                return Ok(shared);
            }
        }
    }

    async fn fetch_or_wait(
        self: &Arc<Self>,
        request: &PageRequest,
        key: &CacheKey,
        asker: Option<Fingerprint>,
        seen: Option<Instant>,
    ) -> Result<SharedResult<Fetched>, PageError> {
        let this = Arc::clone(self);
        let request = request.clone();
        let entry = key.clone();
        let work = move || async move {
            // A fetch that ended between this caller's look and its turn may have left nothing to
            // ask.
            if let Some(page) = this.renewed_since(seen, &request, &entry) {
                return Fetched::Fresh(page);
            }
            let mut fetched = this.ask(&request, &entry).await;
            if request.ahead {
                fetched = fetched.ahead(&request.page);
            }
            if let Fetched::Page {
                page, body, asked, ..
            } = &fetched
            {
                this.admit(&request, page, *asked);
                this.memory.show(&entry, CacheEntry::new(*body, *asked));
            }
            fetched
        };
        let shared = self
            .fetches
            .run((key.clone(), asker, self.epoch()), work)
            .await;
        shared.ok_or(PageError::Internal)
    }

    /// Whether a fetch of this entry is under way that callers share whose right stands.
    pub fn is_fetching(&self, key: &CacheKey) -> bool {
        self.fetches.is_running(&(key.clone(), None, self.epoch()))
    }

    /// What a fetch must have been begun in to be joined now.
    pub fn epoch(&self) -> [u64; 2] {
        [self.changes().read().epoch, self.access().generation()]
    }

    /// The page, if it was asked for after `seen`, is fresh, and this caller's right to it stands.
    fn renewed_since(
        &self,
        seen: Option<Instant>,
        request: &PageRequest,
        key: &CacheKey,
    ) -> Option<Arc<Page>> {
        if request.insists {
            return None;
        }
        let now = clock::now();
        let (entry, page) = self.memory.entry(key)?;
        if seen.is_some_and(|seen| entry.asked <= seen) || self.is_due_again(key, &page) {
            return None;
        }
        self.standing(request, now).permit()?;
        match self.decide(key, &entry, UpstreamVerdict::Unasked, now) {
            Use::Show { .. } => Some(page),
            _ => None,
        }
    }

    /// Makes what was fetched a reply for one caller that waited for it; where it is none, gives it
    /// back.
    pub fn apply(
        &self,
        request: &PageRequest,
        key: &CacheKey,
        shared: SharedResult<Fetched>,
        before: Authorization,
        now: Instant,
    ) -> Result<PageReply, Fetched> {
        // In whose name was upstream asked? In this caller's, unless it joined a fetch of callers
        // whose right stood.
        let own = !shared.joined || before.permit().is_none();
        match shared.value {
            Fetched::Page {
                page,
                body,
                asked,
                not_modified,
            } => {
                let permit = if own {
                    self.admit(request, &page, asked)
                } else {
                    self.proven(request, now)?
                };
                self.memory.show(key, CacheEntry::new(body, asked));
                let status = match (not_modified, before) {
                    _ if shared.joined => CacheStatus::new(Outcome::Collapsed),
                    (true, Authorization::Proven(_)) => {
                        CacheStatus::answered(Outcome::Revalidated, 304)
                    }
                    (true, Authorization::Unproven) => {
                        CacheStatus::answered(Outcome::Authorized, 304)
                    }
                    (false, _) => CacheStatus::answered(Outcome::Miss, 200),
                };
                Ok(self.reply(request, permit, page, status, None))
            }
            Fetched::Fresh(page) => {
                let permit = self.proven(request, now)?;
                Ok(self.reply(request, permit, page, CacheStatus::HIT, None))
            }
            // The stream of a shared fetch belongs to the caller that began it, in whose name it
            // was asked for.
            Fetched::TooLarge(stream) => match if own { stream.lock().take() } else { None } {
                Some(taken) => Ok(PageReply::Stream(taken)),
                None => Err(Fetched::TooLarge(stream)),
            },
            Fetched::Forward { .. } | Fetched::Refused(_) if !own => Err(Fetched::Foreign),
            Fetched::Forward { answer, to } => {
                self.hide(request, key, before);
                Err(Fetched::Forward { answer, to })
            }
            Fetched::Refused(answer) if answer.asks_for_a_pause() => Err(Fetched::Refused(answer)),
            Fetched::Refused(answer) => {
                self.refused(request, key, &answer, before, now);
                Ok(PageReply::PassThrough(answer))
            }
            ended @ (Fetched::Failed(_) | Fetched::FailedAhead | Fetched::Foreign) => Err(ended),
        }
    }

    /// Upstream gave this caller the page when it was asked at `asked`.
    fn admit(&self, request: &PageRequest, page: &Page, asked: Instant) -> Permit {
        let who = request.caller.fingerprint();
        self.access()
            .admit_page(who, &request.page, page.listings(), asked)
    }

    fn proven(&self, request: &PageRequest, now: Instant) -> Result<Permit, Fetched> {
        match self.standing(request, now) {
            Authorization::Proven(permit) => Ok(permit),
            Authorization::Unproven => Err(Fetched::Foreign),
        }
    }

    /// Draws the conclusions of a refusal.
    fn refused(
        &self,
        request: &PageRequest,
        key: &CacheKey,
        answer: &PassThrough,
        before: Authorization,
        now: Instant,
    ) {
        // A mirror is asked without a credential, and its refusal says nothing of a caller's
        // rights.
        if request.page.scope.is_mirror() {
            return;
        }
        let who = request.caller.fingerprint();
        match verdict::verdict(answer.status, false) {
            AuthVerdict::TurnedAway => self.access().turn_away(who, now),
            AuthVerdict::NotThere => {
                self.access().forget_page(who, &request.page, now);
                self.hide(request, key, before);
            }
            AuthVerdict::Admitted | AuthVerdict::NoWord => {}
        }
    }

    /// A caller who was let in is told by GitLab that there is no such page: what was shown of it
    /// is over, in both formats. What lies on the disk stays, because GitLab decided for one
    /// caller, and no other is shown it without a decision of its own. (What a mirror takes back
    /// ends in the fetch, once and for all callers.)
    fn hide(&self, request: &PageRequest, key: &CacheKey, before: Authorization) {
        if before.permit().is_some() || request.page.scope.kind() == ScopeKind::Group {
            self.memory.hide(key);
        }
    }

    pub fn reply(
        &self,
        request: &PageRequest,
        permit: Permit,
        page: Arc<Page>,
        status: CacheStatus,
        age: Option<Duration>,
    ) -> PageReply {
        let who = request.caller.fingerprint();
        self.access()
            .admit_listed(who, &request.page, page.listings(), permit);
        PageReply::Page {
            permit,
            page,
            status,
            age,
        }
    }
}
