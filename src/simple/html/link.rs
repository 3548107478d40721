//! What becomes of one link.
//!
//! Owns resolution (RFC 3986 by way of the URL standard): against the page's own address or its
//! `<base href>`, and what that base means once its tag is gone. Must not know which addresses the
//! caller wants changed, nor how a value is written back.

use html_escape::decode_html_entities;
use lol_html::html_content::Attribute;
use url::{ParseError, Url};

use super::error::HtmlError;
use super::value::Written;

/// A link of the page, as its reader would follow it.
#[derive(Debug)]
pub struct Link<'a> {
    /// Resolved, without fragment.
    pub url: &'a Url,
    /// Without its `#`, character references decoded.
    pub fragment: Option<&'a str>,
    pub(super) attributes: &'a [Attribute<'a>],
}

impl Link<'_> {
    /// The first attribute of this (lower-case) name, character references decoded.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        let attribute = self.attributes.iter().find(|attribute| attribute.name() == name)?;
        Some(decode_html_entities(&attribute.value()).into_owned())
    }

    /// The last segment of the path, as written there; for a file its (percent-encoded) name.
    #[must_use]
    pub fn last_segment(&self) -> &str {
        self.url.path().rsplit('/').next().unwrap_or_default()
    }
}

/// What the caller makes of a link.
pub(super) type Rewrite = Box<dyn FnMut(&Link<'_>) -> Option<String> + Send>;

/// Resolves the links of one page and asks what each should become.
pub(super) struct Links {
    page_url: Url,
    base: Base,
    relative_seen: bool,
    rewrite: Rewrite,
}

/// The first `<base href>` counts for the whole page, also for links before it.
enum Base {
    Unset,
    Set(Option<Url>),
}

impl Links {
    pub(super) fn new(mut page_url: Url, rewrite: Rewrite) -> Self {
        page_url.set_fragment(None);
        Self { page_url, base: Base::Unset, relative_seen: false, rewrite }
    }

    /// Whether the address lies one step below the page itself.
    pub(super) fn is_nested(&self, url: &Url) -> bool {
        let below = url.path().strip_prefix(self.page_url.path().trim_end_matches('/'));
        let step =
            below.and_then(|rest| rest.strip_prefix('/')).map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        step.is_some_and(|step| !step.is_empty() && !step.contains('/'))
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

    /// Where a written value leads; `None` when it leads nowhere.
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

    /// What should stand in place of the address; `None` to leave it as it is.
    pub(super) fn replacement(&mut self, written: &Written<'_>, link: &Link<'_>) -> Option<String> {
        let within_page = written.address.trim_ascii().is_empty();
        // A bare `#fragment` leads to the page wherever that is served, so nobody need be asked.
        if within_page && self.is_at_home() {
            return None;
        }
        if let Some(new) = (self.rewrite)(link) {
            return (new != written.address).then_some(new);
        }
        if self.is_at_home() {
            return None;
        }
        let without_base = self.page_url.join(&written.address);
        (without_base.as_ref() != Ok(link.url)).then(|| link.url.to_string())
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
