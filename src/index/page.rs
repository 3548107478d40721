//! A page as it leaves: rewritten once, and with it the list of its files for rights.
//!
//! Owns the driving of the rewriter. Must not know who gets it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use url::Url;

use super::error::PageError;
use super::links::LinkRewriter;
use super::representation::Representations;
use crate::access::Listing;
use crate::registry::{FileRef, Scope};
use crate::simple::HtmlRewriter;
use crate::store::PageMeta;

/// Scopes that one page's links may name; GitLab's pages name one.
const SCOPES_MAX: usize = 8;

#[derive(Debug)]
pub struct Page {
    forms: Representations,
    listings: Vec<(Scope, Arc<Listing>)>,
    upstream_etag: Option<HeaderValue>,
}

impl Page {
    /// The bytes to send.
    pub fn forms(&self) -> &Representations {
        &self.forms
    }

    /// The files the page lists, by the scope their links name.
    pub fn listings(&self) -> &[(Scope, Arc<Listing>)] {
        &self.listings
    }

    pub(super) fn upstream_etag(&self) -> Option<&HeaderValue> {
        self.upstream_etag.as_ref()
    }

    /// Bytes this takes in memory, roughly.
    pub fn weight(&self) -> usize {
        let listings: usize = self.listings.iter().map(|(_, listing)| listing.weight()).sum();
        self.forms.weight() + listings + 512
    }

    /// Prepares a page from the bytes upstream once sent.
    pub(super) async fn prepare(
        meta: &PageMeta,
        body: &Bytes,
        links: LinkRewriter,
    ) -> Result<Self, PageError> {
        let url = Url::parse(&meta.url).map_err(|_| PageError::Internal)?;
        let etag = meta.etag.as_deref().and_then(|etag| HeaderValue::from_str(etag).ok());
        let body = body.clone();
        let prepare = move || {
            let mut rewriting = Rewriting::new(url, links);
            rewriting.write(&body)?;
            rewriting.finish(etag)
        };
        tokio::task::spawn_blocking(prepare).await.map_err(|_| PageError::Internal)?
    }
}

/// A page on its way through the rewriter.
pub(super) struct Rewriting {
    html: HtmlRewriter,
    output: BytesMut,
    /// The files listed so far; `None` when nobody will ask for them.
    files: Arc<Mutex<Option<Vec<FileRef>>>>,
}

impl Rewriting {
    pub(super) fn new(url: Url, links: LinkRewriter) -> Self {
        let files = Arc::new(Mutex::new(Some(Vec::new())));
        let seen = Arc::clone(&files);
        let html = HtmlRewriter::new(url, move |link| {
            let (replacement, file) = links.rewrite(link.url)?;
            if let (Some(file), Some(files)) =
                (file, seen.lock().unwrap_or_else(PoisonError::into_inner).as_mut())
            {
                files.push(file);
            }
            Some(replacement)
        });
        Self { html, output: BytesMut::new(), files }
    }

    pub(super) fn write(&mut self, chunk: &[u8]) -> Result<(), PageError> {
        self.html.write(chunk).map_err(|why| PageError::NotAPage(why.to_string().into()))?;
        self.output.extend_from_slice(&self.html.take_output());
        Ok(())
    }

    /// Rewritten bytes so far; they are no longer part of the page that [`Self::finish`] makes.
    pub(super) fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// From here on the page is streamed out, in memory that does not grow with it.
    pub(super) fn stream(&mut self) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Ends a page that was streamed out.
    pub(super) fn finish_stream(self) -> Result<Bytes, PageError> {
        let (rest, shape) = self.html.finish().map_err(|why| PageError::NotAPage(why.to_string().into()))?;
        shape.judge().map_err(|why| PageError::NotAPage(why.to_string().into()))?;
        let mut output = self.output;
        output.extend_from_slice(&rest);
        Ok(output.freeze())
    }

    /// Judges the page and prepares its representations. Compresses: run it on a blocking thread.
    pub(super) fn finish(self, upstream_etag: Option<HeaderValue>) -> Result<Page, PageError> {
        let files = Arc::clone(&self.files);
        let body = self.finish_stream()?;
        let files = files.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        Ok(Page { forms: Representations::prepare(body)?, listings: listings(&files), upstream_etag })
    }
}

fn listings(files: &[FileRef]) -> Vec<(Scope, Arc<Listing>)> {
    let mut scopes: Vec<&Scope> = Vec::new();
    for file in files {
        if !scopes.contains(&&file.scope) && scopes.len() < SCOPES_MAX {
            scopes.push(&file.scope);
        }
    }
    let listing = |scope: &Scope| Listing::new(files.iter().filter(|file| file.scope == *scope));
    scopes.into_iter().map(|scope| (scope.clone(), Arc::new(listing(scope)))).collect()
}
