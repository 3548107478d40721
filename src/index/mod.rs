//! Index and project pages: asked once, rewritten once, served many times, to those who may.
//!
//! A page is kept as upstream sent it (disk) and as prepared bytes (memory). Who sees which page:
//!
//! ```text
//! view (route, audience) ─▶ variant ─▶ page        audience: everyone of a project; one caller of a group
//! ```
//!
//! because a group's page differs per caller, while callers for whom GitLab gave the same page share its bytes. A view
//! is answered from memory while it is fresh; otherwise the request goes upstream in the caller's name with the stored
//! page's own validator, and is the proof of the caller's right. Must not know files, HTTP statuses or connections.

mod ahead;
mod changes;
mod config;
mod cooldown;
mod error;
mod forwards;
mod freshness;
mod glance;
mod held;
mod large_pages;
mod links;
mod listing;
mod loader;
mod memory;
mod mirror_files;
mod page;
mod reading;
mod refresh;
mod refusals;
mod representation;
mod request;
mod rewriting;
mod settle;
mod sources;
mod stale;
mod written;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::{Authorization, Caller};
use crate::registry::{FileRef, MirrorPath, PageRef, Scope};
use crate::simple::{CoreMetadata, Format, ProjectName, project_candidates, usual_project};
use crate::upstream::{PassThrough, UpstreamError};
use crate::values::cache_status::{CacheStatus, Outcome};
use crate::values::single_flight::Landed;
use crate::values::{clock, correlation};

pub use config::IndexConfig;
pub use error::PageError;
use forwards::Forwards;
use freshness::{Use, Word};
pub use glance::{Glance, glance};
use held::HeldPages;
use loader::Loader;
pub use loader::Parts;
use memory::{View, ViewKey};
use mirror_files::MirrorFile;
pub use page::Page;
pub use reading::PageStream;
pub use representation::Coding;
pub use request::{Offered, PageReply, PageRequest, Resolved};
use settle::{Settled, reply, settle};
pub use sources::{MirrorPages, Sources};
pub use stale::StalePages;
use stale::StaleServed;
pub use written::WrittenMark;

/// A page that a path was looked for on is asked for again if it is older than this and does not list it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

pub struct Pages {
    loader: Arc<Loader>,
    forwards: Forwards,
    stale: StaleServed,
    /// Offline, in place of everybody who could be asked.
    held: Option<Arc<HeldPages>>,
}

/// What GitLab, or a mirror, has for a caller.
enum Found {
    Reply(PageReply),
    /// GitLab has no such package.
    Forward {
        relayed: PassThrough,
        mirror: Option<Scope>,
    },
}

/// What is known of a path of a mirror's.
enum Listed {
    /// By a page of this age, if upstream could not confirm it.
    As(MirrorFile, Option<Duration>),
    Nowhere,
    /// Nobody may know, or it is too early to ask: in upstream's words.
    Said(PassThrough),
    /// The page has to be asked for.
    Unsure,
}

impl Listed {
    /// What a word that came in place of a page says of its files: none of them are there, or may be had.
    fn by(word: PassThrough) -> Self {
        if matches!(word.status.as_u16(), 404 | 410) {
            Self::Nowhere
        } else {
            Self::Said(word)
        }
    }
}

impl Pages {
    pub fn new(config: IndexConfig, sources: Sources, parts: Parts) -> Arc<Self> {
        let forwards = Forwards::new(config.ttl.0.min(parts.access.cache_ttl()));
        let (holdings, forward) = (parts.held.clone(), parts.upstream.forward());
        let loader = Loader::new(config, sources, parts);
        let held = holdings.map(|holdings| {
            let memory = loader.memory_bytes();
            HeldPages::new(Arc::clone(&loader), holdings, forward, memory)
        });
        Arc::new(Self {
            loader,
            forwards,
            stale: StaleServed::default(),
            held,
        })
    }

    /// Something was uploaded: no page of GitLab's that was asked for before now counts as fresh.
    ///
    /// All pages, not only the project's: an upload names its project by number or by path, and groups show it too.
    /// A page that did not change costs one small "not modified".
    pub fn changed_upstream(&self, now: Instant) {
        self.loader.changed_upstream(now);
    }

    /// Forgets what is in memory of all pages, as a restart would: what was taken from the disk is not shown from there.
    ///
    /// All pages, because the same files are shown by projects, by groups, and in place of others.
    pub fn forget(&self) {
        self.loader.forget(clock::now());
        self.forwards.clear();
    }

    /// Whether pages of this scope can be asked for at all: a mirror that is not configured is no address. Offline there is
    /// what there is, under the name it was fetched by.
    pub fn serves(&self, scope: &Scope) -> bool {
        self.held.is_some() || self.loader.sources().links(scope).is_some()
    }

    /// Returns when every page that was answered with is on the disk: for whoever is about to stop.
    pub async fn put_by(&self) {
        self.loader.put_by().await;
    }

    /// Loads under way.
    pub fn loading(&self) -> usize {
        self.loader.loading()
    }

    /// The pages that were lately given although upstream failed, by upstream.
    pub fn stale(&self, now: Instant) -> Vec<StalePages> {
        self.stale.report(now)
    }

    /// Answers a request for a page. Where GitLab has no such package and a mirror is named to answer in its place, it is
    /// the mirror's page that is given: public words to a caller whom GitLab was asked about first.
    ///
    /// # Errors
    /// When upstream gave nothing to use and nothing usable is stored for a caller whose right stands; when the page is
    /// none of a mirror's business.
    pub async fn page(&self, request: &PageRequest, now: Instant) -> Result<PageReply, PageError> {
        let found = match &self.held {
            Some(held) => self.held(held, request, now).await?,
            None => self.found(request, now).await?,
        };
        if let PageReply::Page { page, .. } = &found {
            self.loader.keep_up(page).await;
        }
        Ok(found)
    }

    /// Offline: the right first, then the page of what is held, always fresh, or else that of the mirror in its place.
    async fn held(
        &self,
        held: &Arc<HeldPages>,
        request: &PageRequest,
        now: Instant,
    ) -> Result<PageReply, PageError> {
        let asked = &request.page;
        let Authorization::Proven(permit) = self.loader.standing(request, now) else {
            return Err(UpstreamError::Offline.into());
        };
        let private = asked.name.as_ref().filter(|name| self.is_private(name));
        if let Some(name) = private.filter(|_| asked.scope.is_mirror()) {
            return Err(PageError::PrivateName(name.clone()));
        }
        let mut found = held.page(asked, request.format).await?;
        let forward = held
            .forward()
            .filter(|_| !asked.scope.is_mirror() && asked.name.is_some());
        if let (None, Some(mirror)) = (&found, forward) {
            if let Some(name) = private {
                return Err(PageError::PrivateName(name.clone()));
            }
            let in_place = PageRef {
                scope: mirror.clone(),
                name: asked.name.clone(),
            };
            found = held.page(&in_place, request.format).await?;
        }
        let page = found.ok_or_else(|| PageError::absent(asked))?;
        Ok(PageReply::Page {
            permit,
            page,
            status: CacheStatus::HIT,
            age: None,
        })
    }

    async fn found(&self, request: &PageRequest, now: Instant) -> Result<PageReply, PageError> {
        if request.page.scope.is_mirror() {
            return self.mirrored(request, now).await;
        }
        let known = self.forwards.recall(
            request,
            now,
            self.loader.overtaken_at(),
            self.loader.access(),
        );
        let (relayed, mirror) = match known {
            Some(mirror) => (None, Some(mirror)),
            None => match self.own(request, now).await? {
                Found::Reply(reply) => return Ok(reply),
                Found::Forward { relayed, mirror } => (Some(relayed), mirror),
            },
        };
        if let Some(name) = request
            .page
            .name
            .as_ref()
            .filter(|name| self.is_private(name))
        {
            return Err(PageError::PrivateName(name.clone()));
        }
        match (mirror, relayed) {
            (Some(mirror), relayed) => {
                if relayed.is_some() {
                    self.forwards.remember(request, mirror.clone(), now);
                }
                let page = PageRef {
                    scope: mirror,
                    name: request.page.name.clone(),
                };
                self.mirrored(
                    &PageRequest {
                        page,
                        ..request.clone()
                    },
                    now,
                )
                .await
            }
            (None, Some(relayed)) => Ok(PageReply::PassThrough(relayed)),
            (None, None) => Err(PageError::Internal),
        }
    }

    /// A mirror's page, for whoever asks.
    async fn mirrored(&self, request: &PageRequest, now: Instant) -> Result<PageReply, PageError> {
        if let Some(name) = request
            .page
            .name
            .as_ref()
            .filter(|name| self.is_private(name))
        {
            return Err(PageError::PrivateName(name.clone()));
        }
        let nobodys = PageRequest {
            caller: request.caller.anonymously(),
            ..request.clone()
        };
        match self.own(&nobodys, now).await? {
            Found::Reply(reply) => Ok(reply),
            Found::Forward { .. } => Err(PageError::Internal),
        }
    }

    /// Whether this name is never a mirror's business.
    pub fn is_private(&self, name: &ProjectName) -> bool {
        self.loader.sources().private().hold(name)
    }

    /// What a path below a mirror leads to, by the word of the page that lists it, and how old that word is if upstream could
    /// not confirm it. The page is found by the file's name. Old names can be read in several ways: what is here of their
    /// pages tells which is meant, and the one that is likeliest is asked for if nobody has asked for it yet.
    ///
    /// # Errors
    /// When no page lists it, when it must not be had, or when the page cannot be had.
    pub async fn resolve(
        &self,
        path: &MirrorPath,
        now: Instant,
    ) -> Result<(Resolved, Option<Duration>), PageError> {
        let wheel = path.metadata_of();
        let listed = wheel.as_ref().unwrap_or(path);
        let names = project_candidates(listed.filename().as_str());
        if let Some(name) = names.first().filter(|name| self.is_private(name)) {
            return Err(PageError::PrivateName(name.clone()));
        }
        let (mut unsure, mut said) = (Vec::new(), None);
        for name in names.into_iter().filter(|name| !self.is_private(name)) {
            let page = PageRef {
                scope: path.scope().clone(),
                name: Some(name),
            };
            match self.known(listed, &page, now).await? {
                Listed::As(file, age) => {
                    return self
                        .lead(&file.spell(listed), wheel.is_some(), &file, age)
                        .await;
                }
                Listed::Nowhere => {}
                Listed::Said(word) => said = Some(word),
                Listed::Unsure => unsure.push(page),
            }
        }
        if let Some(page) = self.likeliest(listed, unsure).await {
            match self.listed(listed, page, now).await? {
                Listed::As(file, age) => {
                    return self
                        .lead(&file.spell(listed), wheel.is_some(), &file, age)
                        .await;
                }
                Listed::Said(word) => said = Some(word),
                Listed::Nowhere | Listed::Unsure => {}
            }
        }
        match (said, &self.held) {
            (Some(word), _) => Ok((Resolved::PassThrough(word), None)),
            (None, Some(_)) => Err(PageError::NotHeld(path.filename().clone())),
            (None, None) => Err(PageError::NotListed),
        }
    }

    /// Of pages that may list a path the one to ask for: which did when it was last seen, whose name stands in the path, or
    /// which is the most usual reading of the file's name. One, because whoever makes up paths must not have upstream asked
    /// for page after page.
    async fn likeliest(&self, path: &MirrorPath, pages: Vec<PageRef>) -> Option<PageRef> {
        if pages.len() > 1 {
            for page in &pages {
                let known = self.last_known(page, &Caller::anonymous()).await;
                if known.is_some_and(|known| known.mirrored(path).is_some()) {
                    return Some(page.clone());
                }
            }
        }
        let folders: Vec<_> = path
            .rest()
            .split('/')
            .filter_map(|part| ProjectName::parse(part).ok())
            .collect();
        let named = |page: &&PageRef| {
            page.name
                .as_ref()
                .is_some_and(|name| folders.contains(name))
        };
        let usual = usual_project(path.filename().as_str());
        let is_usual = |page: &&PageRef| page.name == usual;
        pages
            .iter()
            .find(named)
            .or(pages.iter().find(is_usual))
            .or(pages.first())
            .cloned()
    }

    /// What is known about a path without asking; of a page that does not list it, and is not quite new, nothing.
    async fn known(
        &self,
        path: &MirrorPath,
        page: &PageRef,
        now: Instant,
    ) -> Result<Listed, PageError> {
        if let Some(held) = &self.held {
            let found = held.listed(path, page).await?;
            return Ok(found.map_or(Listed::Nowhere, |file| Listed::As(file, None)));
        }
        let loader = &self.loader;
        if let Some(word) = loader.refused_lately(page, now) {
            return Ok(Listed::by(word));
        }
        let key = ViewKey::new(page.clone(), Format::Json, &Caller::anonymous());
        let (found, asked, decided) = if let Some((view, known)) = loader.memory().view(&key) {
            (
                known.mirrored(path),
                view.asked,
                loader.decide(&key, &view, Word::Unasked, now),
            )
        } else if let Some((files, asked)) = loader.large().recall(page) {
            (
                files.find(path),
                asked,
                loader.decide_as_of(page, (Some(asked), 0.0), Word::Unasked, now),
            )
        } else {
            return Ok(Listed::Unsure);
        };
        let new = now.saturating_duration_since(asked) < LOOK_AGAIN_AFTER;
        Ok(match found.filter(|_| decided.is_shown_unasked()) {
            Some(file) => {
                if decided == Use::ShowAndAsk {
                    let request = asking_for(page);
                    let standing = loader.standing(&request, now);
                    self.renew_behind(&request, &key, asked, standing);
                }
                Listed::As(file, None)
            }
            None if decided.is_shown_unasked() && new => Listed::Nowhere,
            None => Listed::Unsure,
        })
    }

    /// What the page says about a path when it is asked for.
    async fn listed(
        &self,
        path: &MirrorPath,
        page: PageRef,
        now: Instant,
    ) -> Result<Listed, PageError> {
        match self.own(&asking_for(&page), now).await? {
            Found::Reply(PageReply::Page { page, age, .. }) => Ok(page
                .mirrored(path)
                .map_or(Listed::Nowhere, |file| Listed::As(file, age))),
            Found::Reply(PageReply::PassThrough(word)) => Ok(Listed::by(word)),
            Found::Forward { .. } => Ok(Listed::Nowhere),
            Found::Reply(PageReply::Stream(stream)) => {
                let files = Arc::new(stream.into_files().await?);
                let found = files
                    .find(path)
                    .map_or(Listed::Nowhere, |file| Listed::As(file, None));
                self.loader.large().remember(page, files, now);
                Ok(found)
            }
        }
    }

    /// Where a listed path leads, or, if that is asked for, the metadata of the wheel there.
    async fn lead(
        &self,
        path: &MirrorPath,
        metadata: bool,
        file: &MirrorFile,
        age: Option<Duration>,
    ) -> Result<(Resolved, Option<Duration>), PageError> {
        let min_age = self
            .loader
            .sources()
            .mirror(path.scope())
            .map(|mirror| mirror.min_age);
        let now = clock::wall();
        if let Some(why) = file.withheld(min_age.unwrap_or_default(), now) {
            return Err(PageError::withheld(why, now));
        }
        let file_of = |digest| FileRef::mirrored(path, digest);
        let leads = match (metadata, file.metadata, file.sha256) {
            (false, _, Some(digest)) => Resolved::File(file_of(digest)),
            (false, _, None) => Resolved::Unverifiable(path.clone()),
            (true, None, Some(wheel)) => Resolved::Sidecar(file_of(wheel)),
            (true, None, None) => return Err(PageError::NotListed),
            (true, Some(known), wheel) => {
                let wheel = wheel.map(file_of);
                let path = path.metadata().ok_or(PageError::NotListed)?;
                match (known, &self.held, wheel) {
                    (CoreMetadata::Sha256(digest), Some(held), Some(wheel)) => {
                        let own = FileRef::mirrored(&path, digest);
                        // It is advertised, and the wheel that it was taken from may be all there is.
                        let here = held.holds(own.clone()).await;
                        if here {
                            Resolved::File(own)
                        } else {
                            Resolved::Sidecar(wheel)
                        }
                    }
                    (CoreMetadata::Present, Some(_), Some(wheel)) => Resolved::Sidecar(wheel),
                    (CoreMetadata::Sha256(digest), _, Some(wheel)) => {
                        let metadata = Offered::File(FileRef::mirrored(&path, digest));
                        Resolved::Offered { metadata, wheel }
                    }
                    (CoreMetadata::Present, _, Some(wheel)) => Resolved::Offered {
                        metadata: Offered::Unverifiable(path),
                        wheel,
                    },
                    (CoreMetadata::Sha256(digest), _, None) => {
                        Resolved::File(FileRef::mirrored(&path, digest))
                    }
                    (CoreMetadata::Present, _, None) => Resolved::Unverifiable(path),
                }
            }
        };
        Ok((leads, age))
    }

    /// What the scope's own upstream has.
    async fn own(&self, request: &PageRequest, now: Instant) -> Result<Found, PageError> {
        let loader = &self.loader;
        let key = ViewKey::new(request.page.clone(), request.format, &request.caller);
        let standing = loader.standing(request, now);
        if let Some(word) = loader
            .refused_lately(&request.page, now)
            .filter(|_| !request.insists)
        {
            return Ok(Found::Reply(PageReply::PassThrough(word)));
        }
        let known = loader.memory().view(&key);
        if let (Authorization::Proven(permit), Some((view, page)), false) =
            (standing, &known, request.insists)
        {
            let decided = loader.decide(&key, view, Word::Unasked, now);
            if decided.is_shown_unasked() && !page.is_ripe(clock::wall()) {
                let (uses, lapsed) = (view.used(), decided == Use::ShowAndAsk);
                if lapsed || (decided == Use::Show { due: true } && loader.is_hot(uses)) {
                    self.renew_behind(request, &key, view.asked, standing);
                }
                let status = if lapsed {
                    CacheStatus::new(Outcome::Updating)
                } else {
                    CacheStatus::HIT
                };
                let age = lapsed.then(|| now.saturating_duration_since(view.asked));
                return Ok(Found::Reply(reply(
                    loader,
                    request,
                    permit,
                    Arc::clone(page),
                    status,
                    age,
                )));
            }
        }
        let seen = known.as_ref().map(|(view, _)| view.asked);
        let asker = standing
            .permit()
            .is_none()
            .then_some(request.caller.fingerprint());
        let landed = loader.load(request, &key, asker, seen).await?;
        let mut settled = settle(loader, request, &key, landed, standing, clock::now());
        // The load that was joined asked in somebody else's name: ask in our own.
        if matches!(settled, Settled::NotOurs) {
            let landed = loader
                .load(request, &key, Some(request.caller.fingerprint()), seen)
                .await?;
            let landed = Landed {
                joined: false,
                ..landed
            };
            settled = settle(loader, request, &key, landed, standing, clock::now());
        }
        // It gave a stream, which has one taker: ask for one of our own.
        if matches!(settled, Settled::Taken) {
            let landed = Landed {
                value: loader.ask(request, &key).await,
                joined: false,
            };
            settled = settle(loader, request, &key, landed, standing, clock::now());
        }
        match settled {
            Settled::Reply(reply) => Ok(Found::Reply(reply)),
            Settled::Forward { relayed, mirror } => Ok(Found::Forward { relayed, mirror }),
            Settled::Failed(why) => self.in_default(request, &key, known, &why).ok_or(why),
            Settled::Throttled(relayed) => {
                let before = self.in_default(request, &key, known, &"upstream asks for a pause");
                Ok(before.unwrap_or(Found::Reply(PageReply::PassThrough(relayed))))
            }
            Settled::NotOurs | Settled::Taken => Err(PageError::Internal),
        }
    }

    /// The page of before in place of one that upstream failed to give, if it is usable and the caller's right stands.
    ///
    /// A mirror's page that an earlier process stored will do as well: there is no right to it that could have ended
    /// meanwhile.
    fn in_default(
        &self,
        request: &PageRequest,
        key: &ViewKey,
        known: Option<(View, Arc<Page>)>,
        why: &dyn std::fmt::Display,
    ) -> Option<Found> {
        let now = clock::now();
        let stored = || {
            self.loader
                .memory()
                .latest(key)
                .filter(|_| request.page.scope.is_mirror())
        };
        let (variant, asked, page) = match known {
            Some((view, page)) => (view.variant, Some(view.asked), page),
            None => stored().map(|latest| (latest.variant, latest.asked, latest.page))?,
        };
        let decided =
            self.loader
                .decide_as_of(key.page(), (asked, variant.spread()), Word::Failed, now);
        if decided != Use::ShowStale {
            return None;
        }
        let Authorization::Proven(permit) = self.loader.standing(request, now) else {
            return None;
        };
        let age = asked.map(|asked| now.saturating_duration_since(asked));
        tracing::warn!(error = %why, "serving a stored page: upstream failed");
        self.stale.note(&request.page, age, now);
        let status = CacheStatus::new(Outcome::Stale);
        Some(Found::Reply(reply(
            &self.loader,
            request,
            permit,
            page,
            status,
            age,
        )))
    }

    /// Asks for a page again while the one that is known is served: one such question at a time, in this caller's name.
    fn renew_behind(
        &self,
        request: &PageRequest,
        key: &ViewKey,
        seen: Instant,
        standing: Authorization,
    ) {
        if self.loader.is_loading(key) {
            return;
        }
        let (loader, request, key) = (Arc::clone(&self.loader), request.clone(), key.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a page that is not renewed is asked for by the next caller"
        )]
        tokio::spawn(correlation::carried(async move {
            if let Ok(landed) = loader.load(&request, &key, None, Some(seen)).await {
                settle(&loader, &request, &key, landed, standing, clock::now());
            }
        }));
    }
}

/// In nobody's name, and upstream's own word.
fn asking_for(page: &PageRef) -> PageRequest {
    PageRequest {
        caller: Caller::anonymous(),
        page: page.clone(),
        format: Format::Json,
        insists: true,
    }
}
