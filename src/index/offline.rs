//! Pages offline: what is here is all there is.
//!
//! A page that is stored, in whatever format and from whichever upstream, lists the files that are
//! held and nothing else; a scope's index lists the projects that have such a page. It is made when
//! it is asked for and kept until the store changes, which an import does, and a purge. A page is
//! known by the scope it was stored under: what was fetched under `projects/42` is not seen under
//! `groups/acme` or `projects/acme%2Fwidgets`, because only GitLab could say that they are the
//! same. Must not ask upstream, and must not judge rights beyond asking whether they stand.

use std::sync::Arc;

use bytes::Bytes;
use moka::sync::Cache;
use parking_lot::Mutex;
use url::Url;

use crate::index::cache::page::Page;
use crate::index::error::PageError;
use crate::index::fetch::Fetcher;
use crate::index::rewrite::RewriteJob;
use crate::index::rewrite::mirror_files::MirrorFile;
use crate::registry::{FileRef, MirrorPath, PORTABLE_BASE, PageRef, Route, Scope, portable_url};
use crate::simple::{Format, ProjectName, ProjectStatus};
use crate::store::{Holdings, Projects, StoreError};
use crate::upstream::Validators;
use crate::values::clock;
use crate::values::correlation;
use crate::values::single_flight::SingleFlight;

/// What a page that is not there takes in memory, to remember that it is not.
const ABSENT_BYTES: u32 = 256;

type OfflineKey = (PageRef, Format);
type Made = Result<Option<Arc<Page>>, PageError>;

pub(super) struct OfflinePages {
    fetcher: Arc<Fetcher>,
    holdings: Holdings,
    /// Who answers for a package that GitLab's scope has no page of.
    forward: Option<Scope>,
    /// Pages as the store was at a generation.
    made: Cache<OfflineKey, (u64, Option<Arc<Page>>)>,
    making: Arc<SingleFlight<(OfflineKey, u64), Made>>,
    /// The projects of all scopes, as the store was at a generation.
    projects: Mutex<Option<(u64, Arc<Projects>)>>,
}

impl OfflinePages {
    /// Pages take up to `memory` bytes.
    pub(super) fn new(
        fetcher: Arc<Fetcher>,
        holdings: Holdings,
        forward: Option<Scope>,
        memory: u64,
    ) -> Arc<Self> {
        let weigh = |_: &OfflineKey, (_, page): &(u64, Option<Arc<Page>>)| match page {
            Some(page) => u32::try_from(page.weight()).unwrap_or(u32::MAX),
            None => ABSENT_BYTES,
        };
        Arc::new(Self {
            fetcher,
            holdings,
            forward,
            made: Cache::builder().max_capacity(memory).weigher(weigh).build(),
            making: SingleFlight::new(),
            projects: Mutex::default(),
        })
    }

    /// The mirror that answers in GitLab's place.
    pub(super) fn forward(&self) -> Option<&Scope> {
        self.forward.as_ref()
    }

    /// The page of what is held, if there is one.
    pub(super) async fn page(self: &Arc<Self>, page: &PageRef, format: Format) -> Made {
        let key = (page.clone(), format);
        let generation = self.holdings.generation();
        let policies = self.fetcher.sources.policies();
        if let Some((made_at, page)) = self.made.get(&key)
            && made_at == generation
        {
            match &page {
                Some(made) if made.is_judged_otherwise(policies, clock::wall) => {}
                Some(_) | None => return Ok(page),
            }
        }
        let this = Arc::clone(self);
        let wanted = key.clone();
        let work = move || async move {
            let page = this.make(&wanted.0, wanted.1).await?;
            this.made.insert(wanted, (generation, page.clone()));
            Ok(page)
        };
        let shared = self.making.run((key, generation), work).await;
        shared.ok_or(PageError::Internal)?.value
    }

    /// What is known of a path of a mirror's: by the page of its project, which says how old it is;
    /// where there is no such page, by what the path was seen to yield. `None` if no page lists it,
    /// or it is not here.
    pub(super) async fn listed(
        self: &Arc<Self>,
        path: &MirrorPath,
        page: &PageRef,
    ) -> Result<Option<MirrorFile>, PageError> {
        let listed = match self.page(page, Format::Json).await? {
            Some(page) => page.mirrored(path),
            // What was found by a page that upstream took back is not found without it.
            None if self.is_withdrawn(page).await? => None,
            None => Some(MirrorFile::new(path, None, None, None)),
        };
        let Some(mut file) = listed else {
            return Ok(None);
        };
        if file.sha256.is_none() {
            let holdings = self.holdings.clone();
            let spelled = file.spell(path);
            let held = correlation::spawn_blocking(move || holdings.at(&spelled)).await;
            let Some(held) = held.map_err(|_| PageError::Internal)? else {
                return Ok(None);
            };
            file.sha256 = Some(held.digest);
        }
        Ok(Some(file))
    }

    /// What the page of a project says of it, if that is that nothing of it may be had.
    pub(super) async fn quarantine(
        self: &Arc<Self>,
        page: &PageRef,
    ) -> Result<Option<Arc<ProjectStatus>>, PageError> {
        let Some(page) = self.page(page, Format::Json).await? else {
            return Ok(None);
        };
        match page.mirror_files().status() {
            Some(status) if status.is_quarantined() => Ok(Some(Arc::clone(status))),
            Some(_) | None => Ok(None),
        }
    }

    pub(super) async fn is_withdrawn(&self, page: &PageRef) -> Result<bool, PageError> {
        let route = Route::Page(page.clone());
        match self
            .fetcher
            .dependencies
            .page_store
            .is_withdrawn(&route)
            .await
        {
            Ok(withdrawn) => Ok(withdrawn),
            Err(why) => {
                tracing::warn!(error = %why, %route, "a stored page cannot be read");
                Err(PageError::Internal)
            }
        }
    }

    /// Whether this file is here.
    pub(super) async fn holds(&self, file: FileRef) -> bool {
        let holdings = self.holdings.clone();
        correlation::spawn_blocking(move || holdings.holds(&file))
            .await
            .unwrap_or(false)
    }

    async fn make(self: &Arc<Self>, page: &PageRef, format: Format) -> Made {
        match &page.name {
            Some(_) => self.of_project(page, format).await,
            None => self.of_scope(page, format).await,
        }
    }

    async fn of_project(&self, page: &PageRef, format: Format) -> Made {
        let route = Route::Page(page.clone());
        let shelf = &self.fetcher.dependencies.page_store;
        let unreadable =
            |why: &StoreError| tracing::warn!(error = %why, %route, "a stored page cannot be read");
        let formats = shelf.formats(&route).await.inspect_err(unreadable);
        for source in formats.map_err(|_| PageError::Internal)? {
            let stored = shelf.load(&route, source).await.inspect_err(unreadable);
            let Ok(Some((meta, body))) = stored else {
                continue;
            };
            let Some(links) = self.fetcher.sources.links_of(&page.scope, &meta.url) else {
                continue;
            };
            let Ok(url) = Url::parse(&meta.url) else {
                continue;
            };
            let job = RewriteJob {
                page: page.clone(),
                source,
                target: format,
                url,
                links: links.held(self.holdings.clone()),
                dates: self.fetcher.dates_of(page).await,
            };
            let fetcher = &self.fetcher;
            match fetcher
                .prepare_stored(job, Validators::default(), body)
                .await
            {
                Ok(page) => return Ok(Some(page)),
                Err(why) => {
                    tracing::warn!(error = %why, %route, "a stored page is not usable any more")
                }
            }
        }
        Ok(None)
    }

    /// The list of projects, which no upstream sent: it is written here.
    async fn of_scope(self: &Arc<Self>, page: &PageRef, format: Format) -> Made {
        let this = Arc::clone(self);
        let projects = correlation::spawn_blocking(move || this.projects());
        let projects = projects.await.map_err(|_| PageError::Internal)??;
        let Some(names) = projects.get(&page.scope) else {
            return Ok(None);
        };
        let body = Bytes::from(list_of(names));
        let url = portable_url(&Route::Page(page.clone())).ok_or(PageError::Internal)?;
        let links = self.fetcher.sources.links_of(&page.scope, PORTABLE_BASE);
        let job = RewriteJob {
            page: page.clone(),
            source: Format::Json,
            target: format,
            url,
            links: links.ok_or(PageError::Internal)?,
            dates: Arc::default(),
        };
        let prepared = self
            .fetcher
            .prepare_stored(job, Validators::default(), body);
        Ok(Some(prepared.await?))
    }

    /// Blocks.
    fn projects(&self) -> Result<Arc<Projects>, PageError> {
        let mut known = self.projects.lock();
        let generation = self.holdings.generation();
        if let Some((made_at, projects)) = &*known
            && *made_at == generation
        {
            return Ok(Arc::clone(projects));
        }
        match self.holdings.projects() {
            Ok(projects) => {
                let projects = Arc::new(projects);
                *known = Some((generation, Arc::clone(&projects)));
                Ok(projects)
            }
            Err(why) => {
                tracing::warn!(error = %why, "what is stored cannot be listed");
                Err(PageError::Internal)
            }
        }
    }
}

/// A list of projects as PEP 691 has it.
pub(super) fn list_of<'n>(names: impl IntoIterator<Item = &'n ProjectName>) -> String {
    let projects: Vec<_> = names
        .into_iter()
        .map(|name| serde_json::json!({ "name": name.to_string() }))
        .collect();
    serde_json::json!({ "meta": { "api-version": "1.0" }, "projects": projects }).to_string()
}
