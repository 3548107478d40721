//! The daemon's side of the gap: what it is made of, and what all its commands share.
//!
//! Must not know how commands and bytes travel. All methods block.

mod allowed_signers;
mod carried_dates;
mod config;
mod export;
mod feed;
mod import;
mod sets;
mod signature;
mod sshsig;
mod wire;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::index::{PageError, Pages};
use crate::registry::{PageRef, Route};
use crate::simple::{Format, ProjectListing};
use crate::store::{Store, StoreError};

pub use config::ImportConfig;
pub use export::{CONTENT, Export, ExportError, Exported};
pub use feed::{BodySender, Feed, feed};
pub use import::{Import, ImportError, Imported};
pub use sets::{Recorded, SetError, WriteSet, set_body};
pub use signature::{SignatureError, sign};

/// What a stored page lists.
struct StoredListing {
    pub listing: ProjectListing,
    /// Of all its files, those without a sha256 included.
    pub addresses: HashSet<String>,
    /// When upstream last confirmed it.
    pub spoken: Option<SystemTime>,
}

/// Handles export, import and sets.
pub struct BundleService {
    store: Arc<Store>,
    pages: Arc<Pages>,
    /// The keys that a bundle must be signed with; `None`: it need not be.
    allowed_signers: Option<PathBuf>,
    /// Returns when the services know what was learned.
    remake: Box<dyn Fn() + Send + Sync>,
}

impl BundleService {
    pub fn new(
        store: Arc<Store>,
        pages: Arc<Pages>,
        allowed_signers: Option<PathBuf>,
        remake: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            store,
            pages,
            allowed_signers,
            remake,
        }
    }

    /// A project's page as it is stored, in whichever formats. One that cannot be read counts as
    /// none. Which files there are says the one of which upstream spoke last, for an older one may
    /// list what was taken off since.
    fn listing(&self, page: &PageRef) -> Result<Option<StoredListing>, StoreError> {
        let route = Route::Page(page.clone());
        let mut found = Vec::new();
        for format in [Format::Html, Format::Json] {
            let spoken = block_on(self.store.pages.last_confirmed(&route, format)).unwrap_or(None);
            let stored = block_on(self.store.pages.load(&route, format));
            let Ok(Some((meta, body))) = stored else {
                continue;
            };
            let read: Result<_, PageError> = self.pages.listing(page, (&meta.url, format, &body));
            match read {
                Ok((listing, addresses)) => found.push(StoredListing {
                    listing,
                    addresses,
                    spoken,
                }),
                Err(why) => {
                    tracing::warn!(page = %route, error = %why, "a stored page cannot be read")
                }
            }
        }
        // Of two of one moment the JSON, which says more.
        found.sort_by_key(|stored| stored.spoken);
        let Some(mut newest) = found.pop() else {
            return Ok(None);
        };
        if let Some(older) = found.pop() {
            let mut merged = older.listing;
            merged
                .files
                .retain(|_, file| newest.addresses.contains(&file.address));
            if merged.merge(newest.listing.clone()).is_ok() {
                newest.listing = merged;
            }
        }
        Ok(Some(newest))
    }
}

/// Waits on a blocking thread of the runtime.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(work)
}
