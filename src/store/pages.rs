//! Pages as upstream sent them, so that a restarted daemon can ask "has it changed?" instead of "what is it?".
//!
//! Owns their keys in cacache and the removal of a body that was replaced. Written only when a page changed: when it
//! was last validated lives in memory alone. Must not know links, freshness or callers.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::layout::Layout;
use super::ledger::Ledger;
use crate::registry::Route;
use crate::simple::Format;

/// What belongs to a stored body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageMeta {
    /// Upstream's validators, byte for byte.
    pub etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_modified: Option<String>,
    /// Where upstream served it from: links are resolved against it.
    pub url: String,
}

#[derive(Clone)]
pub struct PageShelf {
    layout: Arc<Layout>,
    ledger: Arc<Ledger>,
}

impl PageShelf {
    pub(super) fn new(layout: Arc<Layout>, ledger: Arc<Ledger>) -> Self {
        Self { layout, ledger }
    }

    /// The page last stored for this route in this format, checked by cacache while it is read.
    ///
    /// # Errors
    /// When it is there and cannot be read whole.
    pub async fn load(&self, route: &Route, format: Format) -> Result<Option<(PageMeta, Bytes)>, StoreError> {
        let (layout, key) = (Arc::clone(&self.layout), key(route, format));
        let load = move || -> Result<_, StoreError> {
            let Some(found) = cacache::index::find(layout.root(), &key)? else { return Ok(None) };
            let Ok(meta) = serde_json::from_value(found.metadata) else { return Ok(None) };
            Ok(body(&layout, &found.integrity)?.map(|body| (meta, body)))
        };
        tokio::task::spawn_blocking(load).await.map_err(|_| StoreError::Interrupted)?
    }

    /// Stores a page that changed, and removes the body it replaces.
    ///
    /// # Errors
    /// When the folder cannot be written; the old page then stands.
    pub async fn store(
        &self,
        route: &Route,
        format: Format,
        meta: PageMeta,
        body: Bytes,
    ) -> Result<(), StoreError> {
        let (layout, ledger, key) = (Arc::clone(&self.layout), Arc::clone(&self.ledger), key(route, format));
        let store = move || -> Result<(), StoreError> {
            let old = cacache::index::find(layout.root(), &key)?;
            let new = cacache::write_hash_sync(layout.root(), &body)?;
            let options = cacache::WriteOpts::new()
                .integrity(new.clone())
                .size(body.len())
                .metadata(serde_json::json!(meta));
            cacache::index::insert(layout.root(), &key, options)?;
            let known = old.as_ref().is_some_and(|old| old.integrity == new);
            if !known {
                ledger.found(body.len() as u64);
            }
            let Some(old) = old.filter(|_| !known) else { return Ok(()) };
            cacache::remove_hash_sync(layout.root(), &old.integrity)?;
            ledger.removed(old.size as u64);
            Ok(())
        };
        tokio::task::spawn_blocking(store).await.map_err(|_| StoreError::Interrupted)?
    }
}

/// A page's bytes, checked while they are read. Evicted, or swept with a damaged disk: the line without its body is a miss.
pub(super) fn body(layout: &Layout, integrity: &cacache::Integrity) -> Result<Option<Bytes>, StoreError> {
    match cacache::read_hash_sync(layout.root(), integrity) {
        Ok(body) => Ok(Some(Bytes::from(body))),
        Err(cacache::Error::IoError(why, _)) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// By the format that the body is in, whatever was asked for.
pub(super) fn key(route: &Route, format: Format) -> String {
    let word = match format {
        Format::Html => "html",
        Format::Json => "json",
    };
    format!("{word} {}", route.path())
}
