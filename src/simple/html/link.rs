//! Where a link leads.
//!
//! Owns resolution (RFC 3986 by way of the URL standard): against the page's own address or its
//! `<base href>`, and what that base means once its tag is gone. Must not know which addresses the
//! caller wants changed, nor how a value is written back.

use html_escape::decode_html_entities;
use url::{ParseError, Url};

use super::error::HtmlError;
use super::value::Written;
use crate::simple::index_document::without_index_document;

/// Resolves the links of one page.
pub(super) struct Links {
    page_url: Url,
    base: Base,
    relative_seen: bool,
}

/// The first `<base href>` counts for the whole page, also for links before it.
enum Base {
    Unset,
    Set(Option<Url>),
}

impl Links {
    pub(super) fn new(mut page_url: Url) -> Self {
        page_url.set_fragment(None);
        Self {
            page_url,
            base: Base::Unset,
            relative_seen: false,
        }
    }

    /// Whether the address lies one step below the page itself.
    pub(super) fn is_nested(&self, url: &Url) -> bool {
        let below = without_index_document(url.path()).strip_prefix(folder(&self.page_url));
        let step = below
            .and_then(|rest| rest.strip_prefix('/'))
            .map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        step.is_some_and(|step| !step.is_empty() && !step.contains('/'))
            && url.origin() == self.page_url.origin()
    }

    /// Whether the address is the page itself or one above it, as in the listings of web servers.
    pub(super) fn is_upward(&self, url: &Url) -> bool {
        let rest = folder(&self.page_url).strip_prefix(folder(url));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && url.origin() == self.page_url.origin()
    }

    /// Remembers a `<base href>`. One that cannot be resolved counts, and means the page's own address.
    pub(super) fn set_base(&mut self, raw_href: &str) -> Result<(), HtmlError> {
        if matches!(self.base, Base::Set(_)) {
            return Ok(());
        }
        let base = self.page_url.join(&decode_html_entities(raw_href)).ok();
        let base = base.filter(|base| !base.cannot_be_a_base() && *base != self.page_url);
        if base.is_some() && self.relative_seen {
            return Err(HtmlError::LateBase);
        }
        self.base = Base::Set(base);
        Ok(())
    }

    /// Where a written value leads, without fragment; `None` when it leads nowhere.
    pub(super) fn resolve(&mut self, written: &Written<'_>) -> Option<Url> {
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
    pub(super) fn is_within_page(&self, written: &Written<'_>) -> bool {
        written.address.trim_ascii().is_empty() && self.is_at_home()
    }

    /// What must stand in place of an address that is to be kept: `None` for itself, and the whole address where
    /// a relative one would lead elsewhere, since the page is served elsewhere.
    pub(super) fn kept(written: &Written<'_>, url: &Url) -> Option<String> {
        (Url::parse(&written.address) == Err(ParseError::RelativeUrlWithoutBase))
            .then(|| url.to_string())
    }

    fn is_at_home(&self) -> bool {
        !matches!(self.base, Base::Set(Some(_)))
    }

    fn base(&self) -> &Url {
        match &self.base {
            Base::Set(Some(base)) => base,
            _ => &self.page_url,
        }
    }
}

/// The path without the slash behind it, or the document that stands for it.
fn folder(url: &Url) -> &str {
    without_index_document(url.path()).trim_end_matches('/')
}
