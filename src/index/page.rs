//! A page as it leaves: rewritten once, compressed once, with its own strong validators.
//!
//! Owns the representations and the list of files for rights. Must not know who gets it.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use url::Url;

use super::error::PageError;
use super::links::LinkRewriter;
use crate::access::Listing;
use crate::digest::Digest;
use crate::registry::{FileRef, Scope};
use crate::simple::HtmlRewriter;
use crate::store::PageMeta;

/// Smaller pages are not worth compressing: they fit into one packet as they are.
const GZIP_FROM_BYTES: usize = 1024;

/// Scopes that one page's links may name; GitLab's pages name one.
const SCOPES_MAX: usize = 8;

/// One way to write the page down.
#[derive(Clone, Debug)]
pub struct Representation {
    pub body: Bytes,
    pub etag: HeaderValue,
}

#[derive(Debug)]
pub struct Page {
    plain: Representation,
    gzip: Option<Representation>,
    listings: Vec<(Scope, Arc<Listing>)>,
    upstream_etag: Option<HeaderValue>,
}

impl Page {
    pub fn plain(&self) -> &Representation {
        &self.plain
    }

    pub fn gzip(&self) -> Option<&Representation> {
        self.gzip.as_ref()
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
        let gzip = self.gzip.as_ref().map_or(0, |gzip| gzip.body.len());
        let listings: usize = self.listings.iter().map(|(_, listing)| listing.weight()).sum();
        self.plain.body.len() + gzip + listings + 512
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
        let digest = Digest::of(&body).to_string();
        let etag = |suffix: &str| {
            HeaderValue::try_from(format!("\"{}{suffix}\"", &digest[..32])).map_err(|_| PageError::Internal)
        };
        let gzip = match body.len() {
            0..GZIP_FROM_BYTES => None,
            _ => Some(Representation { body: gzip(&body)?, etag: etag("-gzip")? }),
        };
        Ok(Page {
            plain: Representation { etag: etag("")?, body },
            gzip,
            listings: listings(&files),
            upstream_etag,
        })
    }
}

fn gzip(body: &[u8]) -> Result<Bytes, PageError> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::new(6));
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    let mut compressed = written.map_err(|_| PageError::Internal)?;
    compressed.shrink_to_fit();
    Ok(Bytes::from(compressed))
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
