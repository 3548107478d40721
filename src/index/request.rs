//! What is asked of the index room, and what it gives.
//!
//! Must not know how a page is come by.

use std::sync::Arc;
use std::time::Duration;

use super::page::Page;
use super::reading::PageStream;
use crate::access::{Credential, Fingerprint, Permit};
use crate::cache_status::CacheStatus;
use crate::registry::PageRef;
use crate::upstream::Relayed;

/// A client's wish for a page.
#[derive(Clone)]
pub struct PageRequest {
    pub credential: Credential,
    pub who: Fingerprint,
    pub page: PageRef,
    /// The client insists on upstream's word (`Cache-Control: no-cache`).
    pub insists: bool,
}

/// What a client gets.
pub enum PageReply {
    Page {
        permit: Permit,
        page: Arc<Page>,
        status: CacheStatus,
        /// Set on a page that is shown although upstream could not confirm it.
        age: Option<Duration>,
    },
    /// Too large to keep: rewritten while it passes.
    Stream(Box<PageStream>),
    /// GitLab's own word to this caller.
    Relayed(Relayed),
}
