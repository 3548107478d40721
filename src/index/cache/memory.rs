//! Prepared pages in memory, and who sees which.
//!
//! Owns the bounds. An entry names a body, a body is one body of one page; variants are shared,
//! entries are not. Must not ask upstream, and must not judge freshness or rights.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::access::{Caller, Fingerprint};
use crate::index::cache::page::Page;
use crate::registry::{PageRef, Route, ScopeKind};
use crate::simple::Format;
use crate::values::cache::{self, Cache};
use crate::values::digest::{Digest, Hasher};
use crate::values::quantity::Size;

/// Views remembered at once: callers × group pages, and project pages.
const ENTRIES_MAX: u64 = 65_536;

/// A page as one audience sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    page: PageRef,
    format: Format,
    /// A project's page is the same for everyone who may read the project; a group's may differ per
    /// caller.
    caller: Option<Fingerprint>,
}

impl CacheKey {
    pub fn new(page: PageRef, format: Format, caller: &Caller) -> Self {
        let caller = match page.scope.kind() {
            ScopeKind::Project | ScopeKind::Mirror => None,
            ScopeKind::Group => Some(caller.fingerprint()),
        };
        Self {
            page,
            format,
            caller,
        }
    }

    pub fn page(&self) -> &PageRef {
        &self.page
    }

    /// The same page as the same audience sees it in each format.
    fn in_all_formats(&self) -> [Self; 2] {
        [Format::Html, Format::Json].map(|format| Self {
            format,
            ..self.clone()
        })
    }

    /// The format that it is shown in.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// One body of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyId(Digest);

impl BodyId {
    /// This page's own share of a jitter, evenly spread over 0..=1 from page to page.
    pub fn spread(self) -> f64 {
        f64::from(self.0.as_bytes()[0]) / f64::from(u8::MAX)
    }

    pub fn of(key: &CacheKey, upstream_body: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(Route::Page(key.page.clone()).path().as_bytes());
        hasher.update(match key.format {
            Format::Html => b" html\n",
            Format::Json => b" json\n",
        });
        hasher.update(upstream_body);
        Self(hasher.finish())
    }
}

#[derive(Clone, Debug)]
pub struct CacheEntry {
    pub body: BodyId,
    /// When the request that gave or confirmed it was sent.
    pub asked: Instant,
    uses: Arc<AtomicU32>,
}

impl CacheEntry {
    pub fn new(body: BodyId, asked: Instant) -> Self {
        Self {
            body,
            asked,
            uses: Arc::default(),
        }
    }

    /// Counts one use; says how many there were since it was last asked for.
    pub fn used(&self) -> u32 {
        self.uses.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

/// A body that a caller was given, or that lay on the disk, and when upstream last confirmed it;
/// `None` if that cannot be told any more.
#[derive(Clone)]
pub struct Latest {
    pub body: BodyId,
    pub asked: Option<Instant>,
    pub page: Arc<Page>,
}

pub struct Memory {
    entries: Cache<CacheKey, CacheEntry>,
    pages: Cache<BodyId, Arc<Page>>,
    latest: Cache<(PageRef, Format), (BodyId, Option<Instant>)>,
}

impl Memory {
    pub fn new(size: Size) -> Self {
        let weigh = |_: &BodyId, page: &Arc<Page>| u32::try_from(page.weight()).unwrap_or(u32::MAX);
        Self {
            entries: cache::bounded(ENTRIES_MAX),
            pages: cache::weighed(size.0, weigh),
            latest: cache::bounded(ENTRIES_MAX),
        }
    }

    pub fn entry(&self, key: &CacheKey) -> Option<(CacheEntry, Arc<Page>)> {
        let entry = self.entries.get(key)?;
        let page = self.pages.get(&entry.body)?;
        Some((entry, page))
    }

    /// The page to ask "has it changed?" about: this entry's own, or the last one that any caller
    /// was given.
    pub fn latest(&self, key: &CacheKey) -> Option<Latest> {
        let (body, asked) = match self.entries.get(key) {
            Some(entry) => (entry.body, Some(entry.asked)),
            None => self.latest.get(&(key.page.clone(), key.format))?,
        };
        let page = self.pages.get(&body)?;
        Some(Latest { body, asked, page })
    }

    /// Whether any caller was given this page lately, in whichever format.
    pub fn holds(&self, page: &PageRef) -> bool {
        for format in [Format::Html, Format::Json] {
            if self.latest.get(&(page.clone(), format)).is_some() {
                return true;
            }
        }
        false
    }

    /// `asked` is when upstream last said that it stands.
    pub fn keep(
        &self,
        key: &CacheKey,
        upstream_body: &[u8],
        page: &Arc<Page>,
        asked: Option<Instant>,
    ) -> BodyId {
        let body = BodyId::of(key, upstream_body);
        self.pages.insert(body, Arc::clone(page));
        let latest = (key.page.clone(), key.format);
        self.latest.insert(latest, (body, asked));
        body
    }

    /// From now on this body is shown as this page.
    pub fn replace(&self, body: BodyId, page: &Arc<Page>) {
        self.pages.insert(body, Arc::clone(page));
    }

    /// From now on this entry is that body; an older answer does not replace a newer one.
    pub fn show(&self, key: &CacheKey, entry: CacheEntry) {
        match self.entries.get(key) {
            Some(known) if known.asked > entry.asked => {}
            Some(_) | None => self.entries.insert(key.clone(), entry),
        }
    }

    /// The callers of this entry see it no more, in whichever format.
    pub fn hide(&self, key: &CacheKey) {
        for key in key.in_all_formats() {
            self.entries.remove(&key);
        }
    }

    /// The page is over for every caller.
    pub fn end(&self, key: &CacheKey) {
        for key in key.in_all_formats() {
            if let Some(entry) = self.entries.remove(&key) {
                self.pages.remove(&entry.body);
            }
            if let Some((body, _)) = self.latest.remove(&(key.page, key.format)) {
                self.pages.remove(&body);
            }
        }
    }

    /// As if no page had ever been asked for.
    pub fn clear(&self) {
        self.entries.clear();
        self.latest.clear();
        self.pages.clear();
    }
}
