//! Where a mirror lives: its simple index, and the places that its files come from.
//!
//! Owns the mapping between a mirror's URLs and our paths, both ways and exactly inverse:
//!
//! ```text
//! <index>NAME/                 ↔  /MIRROR/simple/NAME/
//! <first files prefix>REST     ↔  /MIRROR/REST                 a pure swap of prefixes, for URLs in lock files
//! <further files prefix>…      ↔  /MIRROR/~HOST[~PORT]/PATH    its whole path, below a place named after its origin
//! ```
//!
//! `~` is in no host name, and is one of the few marks that no client writes otherwise (RFC 3986
//! §2.3), so that the place of an origin depends on that origin alone, and not on the order or
//! number of the others. A URL that could be written in two ways is written in the first that fits,
//! and the other way is no address; a URL that is not below a prefix is not this mirror's. A query
//! goes along with a path, unseen, and back into the URL. Must not know sockets, nor what a file
//! is.
//!
//! Where the configuration does not say where files come from, the first prefix is the folder that
//! holds the index, so that what stands above it (some servers want a token in the path) is in no
//! address of ours; the origin is the second. Further ones are the hosts that its own pages name
//! and that were taken (`file_hosts.rs`). The index itself may be yet unknown, where GitLab's
//! redirects tell it: until then the mirror has no address at all.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use url::{Host, Url};

use super::file_hosts::FileHosts;
use super::{Base, MirrorPath, PageRef, Route, Scope};
use crate::simple::without_index_document;
use crate::values::secret::Secret;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MirrorBaseError {
    #[error("not an absolute URL such as https://index.example/simple/: {0}")]
    NotUrl(#[from] url::ParseError),
    #[error("only http and https are spoken, not `{0}`")]
    Scheme(String),
    #[error("a credential does not belong in the URL: use username and token_file")]
    Credential,
    #[error("a query or fragment does not belong in the URL")]
    Trailer,
    #[error("an IPv6 address cannot stand in a path: give the host a name")]
    Address,
    #[error("http and https at one host and port")]
    Ambiguous,
}

/// Why a link has no address here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It leads below no prefix.
    Elsewhere,
    /// It leads below one, but this is the matter with it.
    Unfit(&'static str),
}

/// How the folder of a list of projects is called; devpi writes it with a plus.
const INDEX_FOLDERS: [&str; 2] = ["simple", "+simple"];

/// A mirror's name, index and prefixes. Clones share what is learned.
#[derive(Clone, Debug)]
pub struct MirrorBase {
    scope: Scope,
    /// Known from the start, but of the index that GitLab points to.
    places: Arc<OnceLock<Places>>,
    /// None if the configuration says where its files come from.
    hosts: Option<Arc<FileHosts>>,
    /// Of an index that is yet unknown: where its files may come from besides.
    listed: Arc<[Url]>,
    /// Whether its pages have an address.
    has_pages: bool,
    /// Its index is the one that GitLab points to.
    is_learned: bool,
    /// A parent told of it: no section names it.
    is_parents: bool,
    /// Where the other parents have it, which stands for its first files prefix.
    also_at: Arc<[Url]>,
}

#[derive(Debug)]
struct Places {
    index: Url,
    /// The first is the one whose files lie directly below the mirror's name. Each ends with a
    /// slash.
    files: Vec<Url>,
}

impl MirrorBase {
    /// `index` is the URL of the list of projects; `files` where its files may come from. If that
    /// is empty, the folder that holds the index, and then anything at its origin.
    ///
    /// # Errors
    /// What is wrong with the index's URL, and which.
    pub fn parse(
        scope: Scope,
        index: &str,
        files: &[String],
    ) -> Result<Self, (String, MirrorBaseError)> {
        let parse = |text: &str| prefix(text).map_err(|why| (text.to_owned(), why));
        let index = parse(index)?;
        let mut places = Vec::new();
        for text in files {
            places.push(parse(text)?);
        }
        let mut hosts = None;
        if places.is_empty() {
            places = default_places(&index);
            hosts = Some(Arc::default());
        }
        let mut schemes = HashMap::new();
        for further in places.iter().skip(1) {
            if matches!(further.host(), Some(Host::Ipv6(_))) {
                return Err((further.to_string(), MirrorBaseError::Address));
            }
            let scheme = further.scheme();
            if *schemes.entry(place(further)).or_insert(scheme) != scheme {
                return Err((further.to_string(), MirrorBaseError::Ambiguous));
            }
        }
        let places = Places {
            index,
            files: places,
        };
        Ok(Self {
            scope,
            places: Arc::new(places.into()),
            hosts,
            listed: Arc::default(),
            has_pages: true,
            is_learned: false,
            is_parents: false,
            also_at: Arc::default(),
        })
    }

    /// A mirror whose index is yet to be learned. `listed` are all the origins that its files may
    /// come from besides its own; if there are none, its own pages tell.
    pub fn unknown(scope: Scope, listed: Vec<Url>) -> Self {
        let mut hosts = None;
        if listed.is_empty() {
            hosts = Some(Arc::default());
        }
        Self {
            scope,
            places: Arc::default(),
            hosts,
            listed: listed.into(),
            has_pages: true,
            is_learned: true,
            is_parents: false,
            also_at: Arc::default(),
        }
    }

    /// The same, whose pages have no address: they are given in GitLab's place alone.
    pub fn without_pages(mut self) -> Self {
        self.has_pages = false;
        self
    }

    /// The same, of which a parent told.
    pub fn of_parent(mut self) -> Self {
        self.is_parents = true;
        self
    }

    pub fn is_parents(&self) -> bool {
        self.is_parents
    }

    /// The same, which further parents have too: what leads below their first files prefix leads
    /// below this one's.
    #[must_use]
    pub fn standing_for(self, others: &[Self]) -> Self {
        let mut also_at = Vec::new();
        for other in others {
            let files = other.places.get().map(|places| &places.files);
            also_at.extend(files.and_then(|files| files.first()).cloned());
        }
        Self {
            also_at: also_at.into(),
            ..self
        }
    }

    /// Whether its index is below this base: a parent's.
    pub fn is_below(&self, parent: &Base) -> bool {
        self.index()
            .is_some_and(|index| parent.below(index).is_some())
    }

    /// The same of a URL as text, whose spelling is kept; none if it is below none of these prefixes.
    pub(super) fn written_at_first(&self, text: &str) -> Option<String> {
        let first = self.places.get()?.files.first()?;
        let mut others = self.also_at.iter();
        let rest = others.find_map(|other| text.strip_prefix(other.as_str()))?;
        Some(format!("{first}{rest}"))
    }

    /// Whether it is one that the parent at this URL has.
    pub fn is_served_at(&self, parent: &str) -> bool {
        let files = self.places.get().and_then(|places| places.files.first());
        let mut all = files.into_iter().chain(self.also_at.iter());
        let below = format!("{parent}/");
        all.any(|place| place.as_str().starts_with(&below))
    }

    /// Whether a page from this URL came from where it is asked for now. Of one whose index is known
    /// from its section this is not asked: what it redirects to is not told here.
    pub fn is_of(&self, page: &Url) -> bool {
        !self.is_parents || self.recognise_page(page).is_some()
    }

    /// A URL below the prefix of another parent, as the first parent has it.
    fn at_first(&self, link: &Url) -> Url {
        let files = self.places.get().and_then(|places| places.files.first());
        for other in self.also_at.iter() {
            if let (Some(first), Some(rest)) = (files, below(other, link)) {
                return with_path(first, &format!("{}{rest}", first.path()));
            }
        }
        link.clone()
    }

    pub fn has_pages(&self) -> bool {
        self.has_pages
    }

    /// Learns where the index is, once and for all: what was learned before stays.
    pub fn learn(&self, index: &Url) {
        self.places.get_or_init(|| {
            let mut files = default_places(index);
            files.extend(self.listed.iter().cloned());
            Places {
                index: index.clone(),
                files,
            }
        });
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The list of projects, if it is known.
    pub fn index(&self) -> Option<&Url> {
        self.places.get().map(|places| &places.index)
    }

    /// The index's URL and those that files may come from.
    pub fn places(&self) -> Vec<Url> {
        let mut all = self.places_beside_taken_hosts();
        all.extend(self.taken_hosts());
        all
    }

    /// The same without what its own pages named, which is trusted with less: of a mirror with a
    /// section, what its operator wrote.
    pub fn places_beside_taken_hosts(&self) -> Vec<Url> {
        let mut all = Vec::new();
        if let Some(places) = self.places.get() {
            all.push(places.index.clone());
            all.extend(places.files.iter().cloned());
        }
        all
    }

    /// The file hosts that its own pages may add, if they may.
    pub fn hosts(&self) -> Option<&FileHosts> {
        self.hosts.as_deref()
    }

    /// Whether an operator named where this path leads. Of other places only bytes are served that
    /// were checked against a digest on one of its pages.
    pub fn is_named_by_operator(&self, path: &MirrorPath) -> bool {
        !self.is_learned && !self.is_at_taken_host(path)
    }

    /// Whether a path is at a host that one of its pages named, and the configuration did not.
    pub fn is_at_taken_host(&self, path: &MirrorPath) -> bool {
        let Some((first, _)) = path.rest().split_once('/') else {
            return false;
        };
        self.taken_hosts().iter().any(|host| place(host) == first)
    }

    /// Whether a path seems to be at a host that a page named to another larder: which URL it means
    /// cannot be told here. Not of an index below a path, which may be a larder's with such paths
    /// of its own.
    pub fn is_at_unknown_host(&self, path: &MirrorPath) -> bool {
        let Some((first, _)) = path.rest().split_once('/') else {
            return false;
        };
        let Some(places) = self.places.get() else {
            return false;
        };
        let is_at_root = places.files.iter().any(|prefix| prefix.path() == "/");
        let seems_host = first.starts_with('~') && first.contains('.');
        let is_known = self.places().iter().any(|known| place(known) == first);
        self.hosts.is_some() && is_at_root && seems_host && !is_known
    }

    fn taken_hosts(&self) -> Vec<Url> {
        match &self.hosts {
            Some(hosts) => hosts.taken(),
            None => Vec::new(),
        }
    }

    /// The URL of one of this mirror's pages, files or metadata files.
    pub fn url(&self, route: &Route) -> Option<Url> {
        if route.scope() != Some(&self.scope) {
            return None;
        }
        match route {
            Route::Page(page) => {
                let mut url = self.index()?.clone();
                if let Some(name) = &page.name {
                    url.set_path(&format!("{}{name}/", url.path()));
                }
                Some(url)
            }
            Route::File(file) => self.file_url(file.mirror_path()?),
            Route::Metadata(file) => self.file_url(&file.mirror_path()?.metadata()?),
            Route::Mirrored(path) => self.file_url(path),
            Route::Upload { .. } | Route::ProjectPage(_) | Route::Osv(_) | Route::Admin(_) => None,
        }
    }

    /// The file that a link leads to, if it is one of this mirror's. A fragment says nothing of
    /// where a file is.
    pub fn recognise(&self, link: &Url) -> Option<MirrorPath> {
        self.judge(link).ok()
    }

    /// The same, with the reason.
    ///
    /// # Errors
    /// Why the link is none of this mirror's.
    pub fn judge(&self, link: &Url) -> Result<MirrorPath, Stranger> {
        let mut place = link.clone();
        place.set_fragment(None);
        place.set_query(None);
        place = self.at_first(&place);
        let Some(rest) = self.spell(&place) else {
            let is_named = place.set_username("").is_ok() && place.set_password(None).is_ok();
            if is_named && self.spell(&place).is_some() {
                return Err(Stranger::Unfit("a user name in an address"));
            }
            return Err(Stranger::Elsewhere);
        };
        let path = MirrorPath::parse(self.scope.clone(), &rest).map_err(Stranger::Unfit)?;
        if self.locate(path.rest()) != Some(place) {
            return Err(Stranger::Unfit(
                "an address that could be written in two ways",
            ));
        }
        let query = link.query().map(|query| Arc::new(Secret::new(query)));
        Ok(path.asked_with(query))
    }

    /// The page that a link leads to, if it is one of this mirror's index.
    pub fn recognise_page(&self, link: &Url) -> Option<PageRef> {
        let scope = self.scope.clone();
        let link = &self.at_first(link);
        let name = without_index_document(below(self.index()?, link)?);
        if name.is_empty() {
            return Some(PageRef::index(scope));
        }
        PageRef::parse(scope, name.strip_suffix('/').unwrap_or(name))
    }

    fn file_url(&self, path: &MirrorPath) -> Option<Url> {
        let mut url = self.locate(path.rest())?;
        if self.spell(&url)? != path.rest() {
            return None;
        }
        if let Some(query) = path.query() {
            url.set_query(std::str::from_utf8(query.expose()).ok());
        }
        Some(url)
    }

    /// The path below the mirror's name for a URL below one of the prefixes, the longest of them.
    fn spell(&self, link: &Url) -> Option<String> {
        let (first, further) = self.places.get()?.files.split_first()?;
        let taken = self.taken_hosts();
        let mut shortest = below(first, link);
        let mut chosen = None;
        for prefix in further.iter().chain(&taken) {
            // Of two equal prefixes the first one counts.
            if let Some(rest) = below(prefix, link)
                && shortest.is_none_or(|known| rest.len() < known.len())
            {
                shortest = Some(rest);
                chosen = Some(prefix);
            }
        }
        match chosen {
            Some(prefix) => Some(format!("{}{}", place(prefix), link.path())),
            None => Some(shortest?.to_owned()),
        }
    }

    /// The URL of a path below the mirror's name.
    fn locate(&self, rest: &str) -> Option<Url> {
        let (first, further) = self.places.get()?.files.split_first()?;
        let taken = self.taken_hosts();
        let (origin, path) = rest.split_once('/').unwrap_or_default();
        for prefix in further.iter().chain(&taken) {
            if place(prefix) == origin {
                return Some(with_path(prefix, &format!("/{path}")));
            }
        }
        Some(with_path(first, &format!("{}{rest}", first.path())))
    }
}

impl fmt::Display for MirrorBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scope.fmt(f)
    }
}

/// A URL whose path ends with a slash and that says nothing but where.
fn prefix(text: &str) -> Result<Url, MirrorBaseError> {
    let mut url = Url::parse(text)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(MirrorBaseError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(MirrorBaseError::Credential);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(MirrorBaseError::Trailer);
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Where files are looked for when the configuration does not say: beside the index's folder, and
/// elsewhere at its origin.
fn default_places(index: &Url) -> Vec<Url> {
    let folder = index.path().trim_end_matches('/');
    let holder = match folder.rsplit_once('/') {
        Some((holder, name)) if INDEX_FOLDERS.contains(&name) => holder,
        _ => folder,
    };
    let mut places = vec![with_path(index, &format!("{holder}/"))];
    // The place of an origin is in its name.
    if places[0].path() != "/" && !matches!(index.host(), Some(Host::Ipv6(_))) {
        places.push(with_path(index, "/"));
    }
    places
}

fn with_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url
}

/// The part of `link`'s path below a prefix, if it is below, and nothing but a path.
fn below<'u>(prefix: &Url, link: &'u Url) -> Option<&'u str> {
    let plain = link.query().is_none() && link.username().is_empty() && link.password().is_none();
    if !plain || link.origin() != prefix.origin() {
        return None;
    }
    link.path().strip_prefix(prefix.path())
}

/// The segment that stands for an origin: `~HOST`, with the port unless it is that of https.
fn place(prefix: &Url) -> String {
    let host = prefix.host_str().unwrap_or_default();
    match prefix.port_or_known_default() {
        Some(443) | None => format!("~{host}"),
        Some(port) => format!("~{host}~{port}"),
    }
}

#[cfg(test)]
mod tests;
