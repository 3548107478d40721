//! What is asked of the index room, and what it gives.
//!
//! Must not know how a page is come by.

use std::sync::Arc;
use std::time::Duration;

use super::page::Page;
use super::reading::PageStream;
use crate::access::{Caller, Permit};
use crate::registry::{FileRef, MirrorPath, PageRef};
use crate::simple::Format;
use crate::upstream::PassThrough;
use crate::values::cache_status::CacheStatus;

/// A client's wish for a page.
#[derive(Clone)]
pub struct PageRequest {
    pub caller: Caller,
    pub page: PageRef,
    pub format: Format,
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
    PassThrough(PassThrough),
}

/// What a path below a mirror leads to, in the spelling of the page that lists it.
#[derive(Debug)]
pub enum Resolved {
    /// A file, or upstream's own metadata of a wheel, of this sha256.
    File(FileRef),
    /// Upstream's own metadata of this wheel.
    Offered { metadata: Offered, wheel: FileRef },
    /// The metadata of this wheel, which upstream does not offer: larder's own to make.
    Sidecar(FileRef),
    /// A file that upstream lists without a sha256: there is nothing to check it by.
    Unverifiable(MirrorPath),
    /// Its page cannot be asked for now, in upstream's own words.
    PassThrough(PassThrough),
}

/// Metadata that upstream's page offers.
#[derive(Debug)]
pub enum Offered {
    /// Of this sha256.
    File(FileRef),
    /// Of none that is stated.
    Unverifiable(MirrorPath),
}
