//! Where a link leads.
//!
//! Owns resolution (RFC 3986 by way of the URL standard): against the page's own address or its
//! `<base href>`, and what that base means once its tag is gone. Must not know which addresses the
//! caller wants changed, nor how a value is written back.

use html_escape::decode_html_entities;
use url::{ParseError, Url};

use super::error::HtmlError;
use super::value::HrefValue;
use crate::simple::index_document::without_index_document;

/// Resolves the links of one page.
pub struct LinkResolver {
    page_url: Url,
    base: BaseHref,
    relative_seen: bool,
}

/// The first `<base href>` counts for the whole page, also for links before it.
enum BaseHref {
    Unset,
    Set(Option<Url>),
}

impl LinkResolver {
    pub fn new(mut page_url: Url) -> Self {
        page_url.set_fragment(None);
        Self {
            page_url,
            base: BaseHref::Unset,
            relative_seen: false,
        }
    }

    /// Whether the address lies one step below the page itself.
    pub fn is_nested(&self, url: &Url) -> bool {
        let path = without_index_document(url.path());
        let Some(below) = path.strip_prefix(folder(&self.page_url)) else {
            return false;
        };
        let Some(step) = below.strip_prefix('/') else {
            return false;
        };
        let step = step.strip_suffix('/').unwrap_or(step);
        !step.is_empty() && !step.contains('/') && url.origin() == self.page_url.origin()
    }

    /// Whether the address is the page itself or one above it, as in the listings of web servers.
    pub fn is_upward(&self, url: &Url) -> bool {
        let Some(rest) = folder(&self.page_url).strip_prefix(folder(url)) else {
            return false;
        };
        (rest.is_empty() || rest.starts_with('/')) && url.origin() == self.page_url.origin()
    }

    /// Remembers a `<base href>`. One that cannot be resolved counts, and means the page's own
    /// address.
    pub fn set_base(&mut self, raw_href: &str) -> Result<(), HtmlError> {
        if matches!(self.base, BaseHref::Set(_)) {
            return Ok(());
        }
        self.base = match self.page_url.join(&decode_html_entities(raw_href)) {
            Ok(base) if !base.cannot_be_a_base() && base != self.page_url => {
                if self.relative_seen {
                    return Err(HtmlError::LateBase);
                }
                BaseHref::Set(Some(base))
            }
            _ => BaseHref::Set(None),
        };
        Ok(())
    }

    /// Where a written value leads, without fragment; `None` when it leads nowhere.
    pub fn resolve(&mut self, written: &HrefValue<'_>) -> Option<Url> {
        match Url::parse(&written.address) {
            Ok(url) => Some(url),
            Err(ParseError::RelativeUrlWithoutBase) => {
                self.relative_seen = true;
                self.base().join(&written.address).ok()
            }
            Err(_) => None,
        }
    }

    /// A bare `#fragment` leads to the page wherever that is served.
    pub fn is_within_page(&self, written: &HrefValue<'_>) -> bool {
        written.address.trim_ascii().is_empty() && self.is_at_home()
    }

    /// What must stand in place of an address that is to be kept: `None` for itself, and the whole
    /// address where a relative one would lead elsewhere, since the page is served elsewhere.
    pub fn kept(written: &HrefValue<'_>, url: &Url) -> Option<String> {
        match Url::parse(&written.address) {
            Err(ParseError::RelativeUrlWithoutBase) => Some(url.to_string()),
            _ => None,
        }
    }

    fn is_at_home(&self) -> bool {
        !matches!(self.base, BaseHref::Set(Some(_)))
    }

    fn base(&self) -> &Url {
        match &self.base {
            BaseHref::Set(Some(base)) => base,
            _ => &self.page_url,
        }
    }
}

/// The path without the slash behind it, or the document that stands for it.
fn folder(url: &Url) -> &str {
    without_index_document(url.path()).trim_end_matches('/')
}
