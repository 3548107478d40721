//! What is asked of the index room, and what it gives.
//!
//! Must not know how a page is come by.

use std::sync::Arc;
use std::time::Duration;

use super::cache::page::Page;
use super::fetch::body::PageStream;
use crate::access::{Caller, Permit};
use crate::registry::{FileRef, ListedFile, PageRef, Scope};
use crate::simple::Format;
use crate::upstream::PassThrough;
use crate::values::cache_status::CacheStatus;

/// A client's wish for a page.
#[derive(Clone)]
pub struct PageRequest {
    pub caller: Caller,
    pub page: PageRef,
    pub format: Format,
    /// The client insists on upstream's answer (`Cache-Control: no-cache`).
    pub insists: bool,
    /// It is larder's guess at what the client will ask for.
    pub ahead: bool,
}

impl PageRequest {
    /// The same without the caller's credential.
    #[must_use]
    pub fn anonymously(&self) -> Self {
        Self {
            caller: self.caller.anonymously(),
            ..self.clone()
        }
    }

    /// The same of another scope.
    #[must_use]
    pub fn at(&self, scope: Scope) -> Self {
        let name = self.page.name.clone();
        Self {
            page: PageRef { scope, name },
            ..self.clone()
        }
    }
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
    /// Upstream's own answer to this caller.
    PassThrough(PassThrough),
}

/// What a path below a mirror leads to, in the spelling of the page that lists it.
#[derive(Debug)]
pub enum Located {
    /// A file, or upstream's own metadata of a wheel that has no sha256.
    File(ListedFile),
    /// The metadata of this wheel: upstream's own, if its page offers any, or else larder's to
    /// make.
    Metadata {
        wheel: FileRef,
        offered: Option<ListedFile>,
    },
    /// Its page cannot be asked for now, in upstream's own words.
    PassThrough(PassThrough),
}
