//! Pages offline: what is here is all there is.
//!
//! A page that is stored, in whatever format and whoever sent it, lists the files that are held and nothing else; a
//! scope's index lists the projects that have such a page. It is made when it is asked for and kept until the store
//! changes, which an import does, and a purge. A page is known by the scope it was stored under: what was fetched under
//! `projects/42` is not seen under `groups/acme` or `projects/acme%2Fwidgets`, because only GitLab could say that they
//! are the same. Must not ask anybody, and must not judge rights beyond asking whether they stand.

use std::sync::Arc;

use bytes::Bytes;
use moka::sync::Cache;
use parking_lot::Mutex;
use url::Url;

use super::error::PageError;
use super::loader::Loader;
use super::mirror_files::MirrorFile;
use super::page::Page;
use super::rewriting::Order;
use crate::registry::{FileRef, HOUSE, MirrorPath, PageRef, Route, Scope, house_url};
use crate::simple::{Format, ProjectName};
use crate::store::{Holdings, Projects, StoreError};
use crate::upstream::Validators;
use crate::values::clock;
use crate::values::single_flight::SingleFlight;

/// What a page that is not there takes in memory, to remember that it is not.
const ABSENT_BYTES: u32 = 256;

type Key = (PageRef, Format);
type Made = Result<Option<Arc<Page>>, PageError>;

pub(super) struct HeldPages {
    loader: Arc<Loader>,
    holdings: Holdings,
    /// Who answers for a package that GitLab's scope has no page of.
    forward: Option<Scope>,
    /// Pages as the store was at a generation.
    made: Cache<Key, (u64, Option<Arc<Page>>)>,
    making: Arc<SingleFlight<(Key, u64), Made>>,
    /// The projects of all scopes, as the store was at a generation.
    projects: Mutex<Option<(u64, Arc<Projects>)>>,
}

impl HeldPages {
    /// Pages take up to `memory` bytes.
    pub(super) fn new(
        loader: Arc<Loader>,
        holdings: Holdings,
        forward: Option<Scope>,
        memory: u64,
    ) -> Arc<Self> {
        let weigh = |_: &Key, (_, page): &(u64, Option<Arc<Page>>)| {
            page.as_ref().map_or(ABSENT_BYTES, |page| {
                u32::try_from(page.weight()).unwrap_or(u32::MAX)
            })
        };
        Arc::new(Self {
            loader,
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
        let (key, generation) = ((page.clone(), format), self.holdings.generation());
        if let Some((made_at, page)) = self.made.get(&key) {
            let ripe = page
                .as_ref()
                .is_some_and(|page| page.is_ripe(clock::wall()));
            if made_at == generation && !ripe {
                return Ok(page);
            }
        }
        let this = Arc::clone(self);
        let wanted = key.clone();
        let work = move || async move {
            let page = this.make(&wanted.0, wanted.1).await?;
            this.made.insert(wanted, (generation, page.clone()));
            Ok(page)
        };
        self.making
            .run((key, generation), work)
            .await
            .ok_or(PageError::Internal)?
            .value
    }

    /// What is known of a path of a mirror's: by the page of its project, which says how old it is; where there is no such
    /// page, by what the path was seen to yield. `None` if no page lists it, or it is not here.
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
            let (holdings, spelled) = (self.holdings.clone(), file.spell(path));
            let found = tokio::task::spawn_blocking(move || holdings.at(&spelled)).await;
            file.sha256 = found
                .map_err(|_| PageError::Internal)?
                .map(|file| file.digest);
        }
        Ok(Some(file).filter(|file| file.sha256.is_some()))
    }

    async fn is_withdrawn(&self, page: &PageRef) -> Result<bool, PageError> {
        let route = Route::Page(page.clone());
        let found = self.loader.page_store().is_withdrawn(&route).await;
        found
            .inspect_err(|why| tracing::warn!(error = %why, %route, "a stored page cannot be read"))
            .map_err(|_| PageError::Internal)
    }

    /// Whether this file is here.
    pub(super) async fn holds(&self, file: FileRef) -> bool {
        let holdings = self.holdings.clone();
        tokio::task::spawn_blocking(move || holdings.holds(&file))
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
        let page_store = self.loader.page_store();
        let unreadable =
            |why: &StoreError| tracing::warn!(error = %why, %route, "a stored page cannot be read");
        let formats = page_store.formats(&route).await.inspect_err(unreadable);
        for source in formats.map_err(|_| PageError::Internal)? {
            let stored = page_store
                .load(&route, source)
                .await
                .inspect_err(unreadable);
            let Ok(Some((meta, body))) = stored else {
                continue;
            };
            let Some(links) = self.loader.sources().links_of(&page.scope, &meta.url) else {
                continue;
            };
            let Ok(url) = Url::parse(&meta.url) else {
                continue;
            };
            let links = links.held(self.holdings.clone());
            let order = Order {
                page: page.clone(),
                target: format,
                url,
                links,
            };
            match self
                .loader
                .prepare_stored(order, source, Validators::default(), body)
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

    /// The list of projects, which nobody sent: it is written here.
    async fn of_scope(self: &Arc<Self>, page: &PageRef, format: Format) -> Made {
        let this = Arc::clone(self);
        let projects = tokio::task::spawn_blocking(move || this.projects());
        let projects = projects.await.map_err(|_| PageError::Internal)??;
        let Some(names) = projects.get(&page.scope) else {
            return Ok(None);
        };
        let body = Bytes::from(index(names));
        let url = house_url(&Route::Page(page.clone())).ok_or(PageError::Internal)?;
        let links = self
            .loader
            .sources()
            .links_of(&page.scope, HOUSE)
            .ok_or(PageError::Internal)?;
        let order = Order {
            page: page.clone(),
            target: format,
            url,
            links,
        };
        self.loader
            .prepare_stored(order, Format::Json, Validators::default(), body)
            .await
            .map(Some)
    }

    /// Blocks.
    fn projects(&self) -> Result<Arc<Projects>, PageError> {
        let mut known = self.projects.lock();
        let generation = self.holdings.generation();
        if let Some((_, projects)) = known.as_ref().filter(|(made_at, _)| *made_at == generation) {
            return Ok(Arc::clone(projects));
        }
        let projects = self.holdings.projects().map(Arc::new).map_err(|why| {
            tracing::warn!(error = %why, "what is stored cannot be listed");
            PageError::Internal
        })?;
        *known = Some((generation, Arc::clone(&projects)));
        Ok(projects)
    }
}

/// A list of projects as PEP 691 has it.
fn index<'n>(names: impl IntoIterator<Item = &'n ProjectName>) -> String {
    let projects: Vec<_> = names
        .into_iter()
        .map(|name| serde_json::json!({ "name": name.to_string() }))
        .collect();
    serde_json::json!({ "meta": { "api-version": "1.0" }, "projects": projects }).to_string()
}
