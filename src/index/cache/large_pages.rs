//! What a mirror's pages list that are too large to keep.
//!
//! Such a page passes by; which path is which digest is remembered of it, because its files are
//! asked for next, and to read it through for each of them would cost more than most of them weigh.
//! Must not know the network or the disk.

use std::sync::Arc;
use std::time::Instant;

use moka::sync::Cache;

use crate::index::rewrite::mirror_files::MirrorFiles;
use crate::registry::PageRef;

/// Bytes of all that is remembered.
const MEMORY_BYTES_MAX: u64 = 8 << 20;

pub type LargePage = (Arc<MirrorFiles>, Instant);

pub struct LargePages(Cache<PageRef, LargePage>);

impl LargePages {
    pub fn new() -> Self {
        let weight =
            |_: &PageRef, (files, _): &LargePage| u32::try_from(files.weight()).unwrap_or(u32::MAX);
        Self(
            Cache::builder()
                .max_capacity(MEMORY_BYTES_MAX)
                .weigher(weight)
                .build(),
        )
    }

    /// What the page lists, and when it was asked for.
    pub fn recall(&self, page: &PageRef) -> Option<LargePage> {
        self.0.get(page)
    }

    /// Forgets a page; says whether there was anything to forget.
    pub fn take(&self, page: &PageRef) -> bool {
        self.0.remove(page).is_some()
    }

    pub fn clear(&self) {
        self.0.invalidate_all();
    }

    /// `asked` is when the request was begun that gave the page.
    pub fn remember(&self, page: PageRef, files: Arc<MirrorFiles>, asked: Instant) {
        self.0.insert(page, (files, asked));
    }
}
