//! Index and project pages: asked once, rewritten once, served many times, to those who may.
//!
//! A page is kept as upstream sent it (disk) and as prepared bytes (memory). Who sees which page:
//!
//! ```text
//! cache key (page, format, audience) ─▶ body ─▶ page        audience: all callers of a project; one caller of a group
//! ```
//!
//! because a group's page differs per caller, while callers for whom GitLab gave the same page
//! share its bytes. An entry is answered from memory while it is fresh; otherwise the request goes
//! upstream in the caller's name with the stored page's own validator, and is the proof of the
//! caller's right. Must not know files, HTTP statuses or connections.

mod ahead_reader;
mod audience;
mod cache;
mod change_mark;
mod changes;
mod config;
mod dates;
mod error;
mod fetch;
mod follow;
mod judge;
mod listing;
mod locate;
mod lookup;
mod offline;
mod page_counts;
mod read_ahead;
mod recent;
mod refresh;
mod request;
mod rewrite;
mod serve;
mod sources;
mod view_counts;
mod views;

use std::sync::Arc;
use std::time::Instant;

use crate::access::{Authorization, Fingerprint};
use crate::registry::policy::{ExceptionConfig, JudgedFile, PolicyReading};
use crate::registry::{FileRef, KnownBad, PageRef, Route, Scope};
use crate::simple::{Format, ProjectName};
use crate::upstream::{Forward, ForwardTarget, PassThrough, Peer, UpstreamError};
use crate::values::cache_status::CacheStatus;
use crate::values::clock;
use crate::values::single_flight::SingleFlight;

pub use ahead_reader::AheadReader;
use cache::forwards::Forwards;
use cache::open_scopes::OpenScopes;
pub use cache::page::Page;
pub use cache::representation::{Coding, Representation};
pub use change_mark::ChangeMark;
pub use config::IndexConfig;
pub use dates::{DatesCounts, DatesDependencies, DatesReading, UploadDates};
pub use error::PageError;
pub use fetch::PageDependencies;
pub use fetch::body::PageStream;
use fetch::{Fetched, Fetcher};
pub use follow::PublicIndex;
use follow::{FollowTarget, Following, offline_forward};
pub use judge::FileNotice;
pub use lookup::{PathLookup, lookup};
use offline::OfflinePages;
pub use page_counts::{PageCounts, PageCountsReading};
use read_ahead::{AnswerAhead, FoundAhead, GivenFiles, ReadAhead};
pub use recent::GivenPages;
use recent::RecentPages;
pub use refresh::RefreshedPage;
pub use request::{Located, PageReply, PageRequest};
pub use sources::{MirrorPages, PageSources};
pub use view_counts::{SourceReading, ViewCounts, ViewReading};
pub use views::{View, ViewConfig, ViewReply};

/// For `benches/micro.rs` alone.
#[doc(hidden)]
pub mod measured {
    pub use super::cache::memory::{CacheEntry, CacheKey, Memory};
    pub use super::cache::page::{Page, RewrittenPage};
    pub use super::rewrite::link_policy::{LinkPolicy, LinkRules};
    pub use super::rewrite::{RewriteJob, Rewriting};
}

/// Whose right to read which scope is asked about, and since which revocation.
type AudienceKey = (Scope, Fingerprint, u64);

pub struct Pages {
    fetcher: Arc<Fetcher>,
    forwards: Forwards<Scope>,
    /// What sources of views do not have.
    absences: Forwards<()>,
    open_scopes: OpenScopes,
    /// Questions to GitLab about a caller and an audience, one at a time.
    audiences: Arc<SingleFlight<AudienceKey, Result<bool, PageError>>>,
    following: Following,
    read_ahead: ReadAhead,
    stale: RecentPages,
    /// With links that lead past larder.
    past: RecentPages,
    /// Offline, in place of every upstream.
    offline: Option<Arc<OfflinePages>>,
}

impl Pages {
    pub fn new(
        config: IndexConfig,
        sources: PageSources,
        dependencies: PageDependencies,
    ) -> Arc<Self> {
        let remembered_for = config.ttl.0.min(dependencies.access.cache_ttl());
        let holdings = dependencies.held.clone();
        dependencies.view_counts.keep(|name| {
            let view = sources.view(name)?;
            Some(view.sources.as_slice())
        });
        let fetcher = Fetcher::new(config, sources, dependencies);
        let offline = holdings.map(|holdings| {
            let memory = fetcher.config.memory.0;
            let forward = offline_forward(&fetcher);
            OfflinePages::new(Arc::clone(&fetcher), holdings, forward, memory)
        });
        Arc::new(Self {
            fetcher,
            forwards: Forwards::new(remembered_for),
            absences: Forwards::new(remembered_for),
            open_scopes: OpenScopes::default(),
            audiences: SingleFlight::new(),
            following: Following::default(),
            read_ahead: ReadAhead::default(),
            stale: RecentPages::default(),
            past: RecentPages::default(),
            offline,
        })
    }

    /// Something was uploaded: no page of GitLab's that was asked for before now counts as fresh.
    ///
    /// All pages, not only the project's: an upload names its project by number or by path, and
    /// groups show it too. A page that did not change costs one small "not modified".
    pub fn changed_upstream(&self, now: Instant) {
        self.fetcher.changes().uploaded(now);
    }

    /// Forgets what is in memory of all pages, as a restart would: what was taken from the disk is
    /// not shown from there.
    ///
    /// All pages, because the same files are shown by projects, by groups, and in place of others.
    pub fn forget(&self) {
        self.fetcher.forget(clock::now());
        self.fetcher.dependencies.dates.forget();
        self.forwards.clear();
        self.absences.clear();
    }

    /// Whether pages of this scope can be asked for at all: a mirror that is not configured is no
    /// address, nor is an index that was not learned yet. Offline there is what there is, under the name it was fetched by.
    pub fn serves(&self, scope: &Scope) -> bool {
        self.offline.is_some() || self.fetcher.sources.serves(scope)
    }

    /// Whether this is an address at all. The pages of the index that GitLab points to are given in
    /// GitLab's place alone, to callers whom GitLab sent there: they have no address of their own.
    pub fn has_address(&self, route: &Route) -> bool {
        let Some(scope) = route.scope() else {
            return true;
        };
        let is_page = matches!(route, Route::Page(_) | Route::ProjectPage(_));
        if self.view(scope).is_some() {
            return is_page;
        }
        let sources = &self.fetcher.sources;
        let in_place_only = is_page
            && scope.is_mirror()
            && (sources.is_public_index(scope) || sources.parents_public_index() == Some(scope));
        self.serves(scope) && !in_place_only
    }

    /// Who is asked about packages of this scope, as messages name it.
    pub fn peer_of(&self, scope: &Scope) -> Peer {
        self.fetcher.dependencies.upstream.peer_of(scope)
    }

    /// The parent, where a mirror of this scope may yet turn out to be its.
    pub fn awaited_parent(&self, scope: &Scope) -> Option<Peer> {
        if !scope.is_mirror() {
            return None;
        }
        self.fetcher.dependencies.upstream.awaited_parent()
    }

    /// What is known of the index that GitLab points to; none if it is not followed.
    pub fn public_index(&self) -> Option<PublicIndex> {
        self.following.public_index(&self.fetcher)
    }

    /// Returns when every page that was answered with is on the disk, before the process stops.
    pub async fn flush(&self) {
        self.fetcher.flush().await;
    }

    /// Fetches under way.
    pub fn fetching(&self) -> usize {
        self.fetcher.fetching()
    }

    /// Whether what is here is all there is.
    pub fn is_offline(&self) -> bool {
        self.offline.is_some()
    }

    /// Whether pages and files may be given at all.
    ///
    /// # Errors
    /// [`PageError::Closed`] when nothing can be known of them.
    pub fn check_open(&self) -> Result<(), PageError> {
        let policies = self.fetcher.sources.policies();
        if !policies.may_close() {
            return Ok(());
        }
        match policies.closed(clock::wall()) {
            Some(_) => Err(PageError::Closed),
            None => Ok(()),
        }
    }

    /// Which policies there are, and what they kept from clients.
    pub fn policies(&self) -> PolicyReading {
        let counts = &self.fetcher.dependencies.policy_counts;
        PolicyReading::of(self.fetcher.sources.policies(), counts, clock::wall())
    }

    /// The record by which no caller may have a file.
    pub fn known_bad(&self, file: &FileRef) -> Option<KnownBad> {
        let file = JudgedFile {
            source: &file.scope,
            project: None,
            filename: file.filename.as_str(),
            uploaded: None,
            first_seen: None,
            status: None,
        };
        self.fetcher
            .sources
            .policies()
            .known_bad(&file, clock::wall())
    }

    /// The exceptions that hold now, as they were written.
    pub fn exceptions(&self) -> Vec<ExceptionConfig> {
        let now = clock::wall();
        let mut holding = Vec::new();
        for exception in &self.fetcher.sources.policies().exceptions {
            if !exception.is_over(now) {
                holding.push(exception.written.clone());
            }
        }
        holding
    }

    /// What pages said of their projects, and what changed on them.
    pub fn page_counts(&self) -> PageCountsReading {
        self.fetcher.dependencies.page_counts.reading()
    }

    /// What each view answered.
    pub fn views(&self) -> Vec<ViewReading> {
        let counts = &self.fetcher.dependencies.view_counts;
        let mut views = Vec::new();
        for view in self.fetcher.sources.views() {
            views.push(counts.read(&view.scope, &view.sources));
        }
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    /// What was learned of the files of GitLab's pages.
    pub fn dates(&self) -> DatesReading {
        self.fetcher.dependencies.dates.reading()
    }

    /// The pages that were lately given although upstream failed, by upstream.
    pub fn stale(&self, now: Instant) -> Vec<GivenPages> {
        self.stale.report(now)
    }

    /// The pages that were lately given with links that lead past larder, or in whose place a
    /// redirect went out that larder was to follow, by upstream.
    pub fn past(&self, now: Instant) -> Vec<GivenPages> {
        self.past.report(now)
    }

    fn note_past(&self, page: &PageRef, reply: &PageReply, now: Instant) {
        let leads_past = match reply {
            PageReply::Page { page, .. } => page.has_links_past(),
            PageReply::Stream(stream) => stream.has_links_past(),
            PageReply::PassThrough(_) => false,
        };
        if leads_past {
            self.past.note(page, None, now);
        }
    }

    /// Whether this name is never a mirror's business.
    pub fn is_private(&self, name: &ProjectName) -> bool {
        self.fetcher.sources.private().hold(name)
    }

    /// Answers a request for a page. Where GitLab has no such package and a mirror is named to
    /// answer in its place, it is the mirror's page that is given: public pages to a caller whom
    /// GitLab was asked about first.
    ///
    /// # Errors
    /// When upstream gave nothing to use and nothing usable is stored for a caller whose right stands; when the page is
    /// none of a mirror's business.
    pub async fn page(&self, request: &PageRequest, now: Instant) -> Result<PageReply, PageError> {
        if let Some(view) = self.view(&request.page.scope) {
            return Ok(Box::pin(self.view_page(view, request, now)).await?.reply);
        }
        let ahead = match &self.offline {
            Some(_) => FoundAhead::Nothing,
            None => {
                let epoch = || self.fetcher.epoch();
                self.read_ahead.asked(request, epoch, now)
            }
        };
        let was_ahead = !matches!(ahead, FoundAhead::Nothing);
        let mut reply = match (ahead, &self.offline) {
            (FoundAhead::Answer(answer, asked), _) => {
                Box::pin(self.answered_ahead(request, *answer, asked, now)).await?
            }
            (_, Some(offline)) => Box::pin(self.offline_page(offline, request, now)).await?,
            (_, None) => self.online_page(request, now).await?,
        };
        if let PageReply::Page { page, status, .. } = &mut reply {
            if was_ahead || *status != CacheStatus::HIT {
                self.read_ahead.given(request, GivenFiles::of(page), now);
            }
            self.finish(request, page).await;
        }
        Ok(reply)
    }

    /// What an answer comes to that is no page, and that upstream gave at `asked` to larder's guess.
    async fn answered_ahead(
        &self,
        request: &PageRequest,
        answer: AnswerAhead,
        asked: Instant,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        match answer {
            AnswerAhead::PassThrough(answer) if request.page.scope.is_mirror() => {
                Ok(PageReply::PassThrough(answer))
            }
            AnswerAhead::PassThrough(answer) => self.refused(request, answer, asked, now).await,
            AnswerAhead::Forward { answer, to } => {
                self.forwarded(request, answer, *to, asked, now).await
            }
        }
    }

    /// Lets a page that is about to be shown find out what has become known of its files.
    async fn finish(&self, request: &PageRequest, page: &mut Arc<Page>) {
        let is_judged = self.is_judged_by_dates(&request.page.scope);
        if request.format == Format::Json || is_judged {
            let dates = &self.fetcher.dependencies.dates;
            dates.want(&request.caller, &request.page, page.undated());
        }
        if is_judged && self.offline.is_none() && !page.undated().is_empty() {
            Box::pin(self.await_dates(request, page)).await;
        }
        self.fetcher.annotate(page).await;
    }

    /// Whether files of GitLab's are judged by what its packages API tells.
    fn is_judged_by_dates(&self, scope: &Scope) -> bool {
        !scope.is_mirror() && self.fetcher.sources.policies().age(scope).is_some()
    }

    async fn online_page(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        if request.page.scope.is_mirror() {
            self.mirrored(request, now).await
        } else {
            self.gitlab_page(request, now).await
        }
    }

    /// A mirror is never asked for a private name.
    fn refuse_private(&self, name: Option<&ProjectName>) -> Result<(), PageError> {
        match name {
            Some(name) if self.is_private(name) => Err(PageError::PrivateName(name.clone())),
            Some(_) | None => Ok(()),
        }
    }

    /// The right first, then the page of what is held, always fresh, or else that of the mirror in
    /// its place.
    async fn offline_page(
        &self,
        offline: &Arc<OfflinePages>,
        request: &PageRequest,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        let asked = &request.page;
        let Authorization::Proven(permit) = self.fetcher.standing(request, now) else {
            return Err(UpstreamError::Offline.into());
        };
        if asked.scope.is_mirror() {
            self.refuse_private(asked.name.as_ref())?;
            self.admit(&request.caller, &asked.scope, now).await?;
        }
        let mut found = offline.page(asked, request.format).await?;
        if found.is_none()
            && !asked.scope.is_mirror()
            && asked.name.is_some()
            && let Some(mirror) = offline.forward()
        {
            self.refuse_private(asked.name.as_ref())?;
            self.admit(&request.caller, mirror, now).await?;
            let in_place = PageRef {
                scope: mirror.clone(),
                name: asked.name.clone(),
            };
            found = offline.page(&in_place, request.format).await?;
        }
        let page = found.ok_or_else(|| PageError::absent(asked))?;
        Ok(PageReply::Page {
            permit,
            page,
            status: CacheStatus::HIT,
            age: None,
        })
    }

    /// GitLab's page, or that of the mirror which answers in its place.
    async fn gitlab_page(
        &self,
        request: &PageRequest,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        let access = self.fetcher.access();
        let changes = self.fetcher.changes().read();
        let known = self.forwards.recall(request, now, changes, access);
        if let Some(mirror) = known
            && Box::pin(self.may_stand_in(&request.page)).await?
        {
            self.refuse_private(request.page.name.as_ref())?;
            return Box::pin(self.in_place(request, mirror, now)).await;
        }
        match self.own(request, now).await {
            Ok(PageReply::PassThrough(answer)) => {
                Box::pin(self.refused(request, answer, now, now)).await
            }
            Ok(reply) => {
                self.note_past(&request.page, &reply, now);
                Ok(reply)
            }
            Err(Fetched::Forward { answer, to }) => {
                // Larger than what a hit needs.
                Box::pin(self.forwarded(request, answer, *to, now, now)).await
            }
            Err(other) => Err(other.into()),
        }
    }

    /// What a refusal of GitLab's comes to, which was asked for it at `asked`: of a GitLab that does
    /// not forward itself, it may be the mirror's page.
    async fn refused(
        &self,
        request: &PageRequest,
        answer: PassThrough,
        asked: Instant,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        let Some(mirror) = self.not_found_forward(request, &answer, now).await? else {
            return Ok(PageReply::PassThrough(answer));
        };
        self.forwards.remember(request, mirror.clone(), asked);
        self.in_place(request, mirror, now).await
    }

    /// What a redirect of GitLab's comes to, which was asked for it at `asked`.
    async fn forwarded(
        &self,
        request: &PageRequest,
        answer: PassThrough,
        to: ForwardTarget,
        asked: Instant,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        let name = request.page.name.as_ref();
        self.refuse_private(name)?;
        let follows = *self.fetcher.dependencies.upstream.forward() == Forward::Follow;
        let mirror = match self.following.target(&self.fetcher, to, name).await {
            FollowTarget::Mirror(mirror) => mirror,
            FollowTarget::Past if follows => {
                self.past.note(&request.page, None, now);
                return Ok(PageReply::PassThrough(answer));
            }
            FollowTarget::Past | FollowTarget::Missing => {
                return Ok(PageReply::PassThrough(answer));
            }
        };
        self.forwards.remember(request, mirror.clone(), asked);
        self.in_place(request, mirror, now).await
    }

    /// The page of the mirror that answers in GitLab's place.
    async fn in_place(
        &self,
        request: &PageRequest,
        mirror: Scope,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        Box::pin(self.mirrored(&request.at(mirror), now)).await
    }

    /// Whether GitLab's "not here" still counts, which may have been no redirect of its own.
    async fn may_stand_in(&self, page: &PageRef) -> Result<bool, PageError> {
        if !self.fetcher.dependencies.upstream.forwards_not_found() {
            return Ok(true);
        }
        self.is_still_absent(page).await
    }

    /// The mirror that answers in place of a GitLab which does not forward itself, where
    /// `gitlab.forward_not_found` says so. A caller whom GitLab may not know gets GitLab's own 404.
    async fn not_found_forward(
        &self,
        request: &PageRequest,
        answer: &PassThrough,
        now: Instant,
    ) -> Result<Option<Scope>, PageError> {
        let upstream = &self.fetcher.dependencies.upstream;
        if !answer.says_no_package() || !upstream.forwards_not_found() {
            return Ok(None);
        }
        let Forward::Mirror(name) = upstream.forward() else {
            return Ok(None);
        };
        self.refuse_private(request.page.name.as_ref())?;
        match Box::pin(self.prove_absence(request, now)).await {
            Ok(()) => Ok(Scope::mirror(name)),
            Err(PageError::CredentialWanted) => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// A mirror's page, for any caller of its audience.
    async fn mirrored(&self, request: &PageRequest, now: Instant) -> Result<PageReply, PageError> {
        self.refuse_private(request.page.name.as_ref())?;
        self.admit(&request.caller, &request.page.scope, now)
            .await?;
        let reply = self.own(&request.anonymously(), now).await?;
        self.note_past(&request.page, &reply, now);
        Ok(reply)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.fetcher.dependencies.dates.close();
    }
}
