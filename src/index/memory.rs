//! Prepared pages in memory, and who sees which.
//!
//! Owns the bounds. A view names a variant, a variant is one body of one page; variants are shared, views are not.
//! Must not ask anybody, and must not judge freshness or rights.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use moka::sync::Cache;

use super::page::Page;
use crate::access::{Caller, Fingerprint};
use crate::registry::{PageRef, Route, ScopeKind};
use crate::simple::Format;
use crate::values::digest::{Digest, Hasher};
use crate::values::quantity::Size;

/// Views remembered at once: callers × group pages, and project pages.
const VIEWS_MAX: u64 = 65_536;

/// A page as one audience sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ViewKey {
    page: PageRef,
    format: Format,
    /// A project's page is the same for everyone who may read the project; a group's may differ per caller.
    caller: Option<Fingerprint>,
}

impl ViewKey {
    pub(super) fn new(page: PageRef, format: Format, caller: &Caller) -> Self {
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

    pub(super) fn page(&self) -> &PageRef {
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
    pub(super) fn format(&self) -> Format {
        self.format
    }
}

/// One body of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Variant(Digest);

impl Variant {
    /// This page's own share of a jitter, evenly spread over 0..=1 from page to page.
    pub(super) fn spread(self) -> f64 {
        f64::from(self.0.as_bytes()[0]) / f64::from(u8::MAX)
    }

    fn of(key: &ViewKey, upstream_body: &[u8]) -> Self {
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
pub(super) struct View {
    pub variant: Variant,
    /// When the request that gave or confirmed it was sent.
    pub asked: Instant,
    uses: Arc<AtomicU32>,
}

impl View {
    pub(super) fn new(variant: Variant, asked: Instant) -> Self {
        Self {
            variant,
            asked,
            uses: Arc::default(),
        }
    }

    /// Counts one use; says how many there were since it was last asked for.
    pub(super) fn used(&self) -> u32 {
        self.uses.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

/// A body that somebody was given, or that lay on the disk, and when upstream last said that it stands; `None` if nobody can
/// tell any more.
#[derive(Clone)]
pub(super) struct Latest {
    pub variant: Variant,
    pub asked: Option<Instant>,
    pub page: Arc<Page>,
}

pub(super) struct Memory {
    views: Cache<ViewKey, View>,
    pages: Cache<Variant, Arc<Page>>,
    latest: Cache<(PageRef, Format), (Variant, Option<Instant>)>,
}

impl Memory {
    pub(super) fn new(size: Size) -> Self {
        let weigh =
            |_: &Variant, page: &Arc<Page>| u32::try_from(page.weight()).unwrap_or(u32::MAX);
        Self {
            views: Cache::new(VIEWS_MAX),
            pages: Cache::builder().max_capacity(size.0).weigher(weigh).build(),
            latest: Cache::new(VIEWS_MAX),
        }
    }

    pub(super) fn view(&self, key: &ViewKey) -> Option<(View, Arc<Page>)> {
        let view = self.views.get(key)?;
        let page = self.pages.get(&view.variant)?;
        Some((view, page))
    }

    /// The page to ask "has it changed?" about: this view's own, or the last one anybody was given.
    pub(super) fn latest(&self, key: &ViewKey) -> Option<Latest> {
        let own = self
            .views
            .get(key)
            .map(|view| (view.variant, Some(view.asked)));
        let (variant, asked) = own.or_else(|| self.latest.get(&(key.page.clone(), key.format)))?;
        Some(Latest {
            variant,
            asked,
            page: self.pages.get(&variant)?,
        })
    }

    /// `asked` is when upstream last said that it stands.
    pub(super) fn keep(
        &self,
        key: &ViewKey,
        upstream_body: &[u8],
        page: &Arc<Page>,
        asked: Option<Instant>,
    ) -> Variant {
        let variant = Variant::of(key, upstream_body);
        self.pages.insert(variant, Arc::clone(page));
        self.latest
            .insert((key.page.clone(), key.format), (variant, asked));
        variant
    }

    /// From now on this view is that variant; an older word does not replace a newer one.
    pub(super) fn show(&self, key: &ViewKey, view: View) {
        if self
            .views
            .get(key)
            .is_none_or(|known| known.asked <= view.asked)
        {
            self.views.insert(key.clone(), view);
        }
    }

    /// Whoever sees this view sees it no more, in whichever format.
    pub(super) fn hide(&self, key: &ViewKey) {
        key.in_all_formats()
            .iter()
            .for_each(|key| self.views.invalidate(key));
    }

    /// The page is over for everybody.
    pub(super) fn end(&self, key: &ViewKey) {
        for key in key.in_all_formats() {
            let view = self.views.remove(&key).map(|view| view.variant);
            let latest = self
                .latest
                .remove(&(key.page, key.format))
                .map(|(variant, _)| variant);
            view.into_iter()
                .chain(latest)
                .for_each(|variant| self.pages.invalidate(&variant));
        }
    }

    /// As if nobody had ever asked.
    pub(super) fn clear(&self) {
        self.views.invalidate_all();
        self.latest.invalidate_all();
        self.pages.invalidate_all();
    }
}
