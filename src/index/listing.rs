//! A stored page with larder's own addresses, to be carried to another larder or merged with what
//! came from one.
//!
//! Judged by the same links as pages that are served, but nothing is left out for its age: the
//! other side has its own rules, and is told the dates. Must not know where the page was stored.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use url::Url;

use super::Pages;
use crate::index::error::PageError;
use crate::registry::PageRef;
use crate::simple::{Entry, Format, ProjectListing};

impl Pages {
    /// Reads a project's page that was stored in `format` and came from `url`, and says which
    /// addresses it lists, with a sha256 or without. Blocks for as long as parsing takes.
    ///
    /// # Errors
    /// When it is no project's page.
    pub fn listing(
        &self,
        page: &PageRef,
        (url, format, body): (&str, Format, &[u8]),
    ) -> Result<(ProjectListing, HashSet<String>), PageError> {
        // A mirror that is no longer configured has no addresses but those that a page was carried
        // with.
        let links = self.fetcher.sources.links_of(&page.scope, url);
        let url = Url::parse(url).map_err(PageError::not_a_page)?;
        let project = page.name.clone().ok_or(PageError::Internal)?;
        let dates = self.fetcher.dependencies.dates.stored(page);
        let page = page.clone();
        let addresses: Arc<Mutex<HashSet<String>>> = Arc::default();
        let seen = Arc::clone(&addresses);
        let address = move |entry: &Entry<'_>| {
            let address = links.as_ref()?.file_address(&page, entry)?;
            seen.lock().insert(address.clone());
            Some(address)
        };
        let mut listing = ProjectListing::read(format, project, url, body, address)
            .map_err(PageError::not_a_page)?;
        listing.add_facts(|digest, filename| dates.find(digest, filename));
        let addresses = std::mem::take(&mut *addresses.lock());
        Ok((listing, addresses))
    }
}
