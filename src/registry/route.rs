//! Path ↔ [`Route`]: the one grammar of addresses, GitLab's PyPI registry and mirrors alike.
//!
//! A path is taken apart once, from its raw bytes, into typed parts over small alphabets, and is
//! written anew from those parts ([`Route::path`]); no byte of the client's spelling but a checked
//! id, digest or name goes on. Escapes are not undone before the path is split (RFC 3986 §2.4), so
//! `%2F` can live in an id and nowhere else. A mirror's file is the one address that keeps its
//! spelling, because larder knows nothing of what it means there. Empty segments below a scope
//! count for nothing, as in front of GitLab, whose web server merges slashes: clients join URLs
//! carelessly. Must not know methods' bodies, headers other than through [`Route::parse`]'s
//! verdict, or what GitLab answers.

use std::fmt;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::hint;
use super::osv_request::OsvRequest;
use super::raw_path::check;
use super::scope::spelled;
use super::{FileRef, MirrorPath, PageRef, Scope, ScopeKind};
use crate::simple::{ProjectName, is_wheel};

/// Everything that larder answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The list of projects of a scope, or the files of one project.
    Page(PageRef),
    /// A distribution. One on a mirror is read as [`Route::Mirrored`] until its digest is known.
    File(FileRef),
    /// The PEP 658 metadata of a distribution; the digest in its address is the distribution's.
    Metadata(FileRef),
    /// A file of a mirror, distribution or metadata file, at the mirror's own path.
    Mirrored(MirrorPath),
    /// Where a project takes uploads.
    Upload { scope: Scope },
    /// One project's page as people read it; under a name, always.
    ProjectPage(PageRef),
    /// The OSV service.
    Osv(OsvRequest),
    /// An endpoint of larder's own.
    Admin(AdminEndpoint),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdminEndpoint {
    Live,
    Ready,
    Metrics,
    /// `/` and `/-`: leads to the page for people.
    Root,
    /// The page for people.
    Home,
    /// The same as JSON.
    Status,
    /// Leads to a [`Route::ProjectPage`] by what a form says.
    Find,
    /// Takes a lock file, and gives it back with other addresses.
    RewriteLock,
    /// `*`: the server as a whole, asked with OPTIONS for what it can (RFC 9110 §9.3.7).
    Options,
}

/// Why a request line is not one of ours. The client is to blame for each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("no such address here")]
    Unknown,
    /// Neither is this one, and what was probably meant is known.
    #[error("no such address here: {0}")]
    Elsewhere(String),
    #[error(
        "no such address here: no mirror is called {0} (a section [mirrors.{0}] would make one)"
    )]
    NoMirror(Scope),
    #[error(
        "no such address here: a view has its pages alone, which link to its sources' own addresses"
    )]
    OfView,
    #[error(
        "a view takes no uploads, which are one project's: upload to /api/v4/projects/ID/packages/pypi"
    )]
    ViewUpload,
    #[error("malformed address: {0}")]
    Malformed(&'static str),
    #[error(
        "a credential in the query string would reach logs: send `{0}` in a PRIVATE-TOKEN header or as a Basic password"
    )]
    CredentialInQuery(&'static str),
    #[error("method not allowed here; allowed: {0}")]
    Method(&'static str),
}

impl RouteError {
    /// For a path that no route has.
    fn unknown(path: &str) -> Self {
        match hint::meant(path) {
            Some(hint) => Self::Elsewhere(hint),
            None => Self::Unknown,
        }
    }
}

/// Query names under which GitLab would take a secret.
const CREDENTIAL_QUERIES: [&str; 5] = [
    "private_token",
    "access_token",
    "bearer_token",
    "job_token",
    "deploy_token",
];

const READS: &str = "GET, HEAD";

const EMPTY_SEGMENT: &str = "empty path segment";

/// The one target that is no path (RFC 9112 §3.2.4).
const EVERYTHING: &str = "*";

impl Route {
    /// Reads a request line. Only origin-form targets (RFC 9112 §3.2.1) are ours: larder is no
    /// forward proxy.
    pub fn parse(method: &Method, target: &Uri) -> Result<Self, RouteError> {
        if target.scheme().is_some() || target.authority().is_some() {
            return Err(RouteError::Malformed(
                "larder is not a forward proxy; send a path",
            ));
        }
        if (method, target.path()) == (&Method::OPTIONS, EVERYTHING) {
            return Ok(Self::Admin(AdminEndpoint::Options));
        }
        if let Some(name) = target.query().and_then(credential_in) {
            return Err(RouteError::CredentialInQuery(name));
        }
        let route = match target.path() {
            // Of requests alone: on a page such a link is none of ours.
            "/" | "/-" => Self::Admin(AdminEndpoint::Root),
            path => match Self::from_path(path) {
                Err(RouteError::Unknown) => return Err(RouteError::unknown(path)),
                read => read?,
            },
        };
        let allowed = route.allowed();
        let fits = match *method {
            Method::GET | Method::HEAD => allowed == READS,
            Method::POST => allowed == "POST",
            _ => false,
        };
        if fits {
            Ok(route)
        } else {
            Err(RouteError::Method(allowed))
        }
    }

    /// Reads a raw path; the same grammar serves requests and the links on pages.
    pub fn from_path(path: &str) -> Result<Self, RouteError> {
        check(path).map_err(RouteError::Malformed)?;
        let slashed = path.ends_with('/');
        if let Some((kind, id, below)) = registry_of(path) {
            return below_gitlab(kind, id, below, slashed);
        }
        let (first, below) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let is_ours = matches!(first, "-" | "api");
        if path.starts_with("//") || is_ours && path.contains("//") {
            return Err(RouteError::Malformed(EMPTY_SEGMENT));
        }
        let route = match first {
            "-" => own(path),
            mirror => below_mirror(mirror, below, slashed),
        };
        route.ok_or(RouteError::Unknown)
    }

    /// The address in canonical form, below GitLab's root as below ours.
    pub fn path(&self) -> String {
        spelled(|path| self.push_path(path))
    }

    /// Adds the same to a text.
    pub fn push_path(&self, text: &mut String) {
        match self {
            Self::Page(page) => page.push_path(text),
            Self::File(file) => file.push_path(text),
            Self::Metadata(file) => {
                file.push_path(text);
                text.push_str(".metadata");
            }
            Self::Mirrored(path) => path.push_path(text),
            Self::Upload { scope } => scope.push_path(text),
            Self::ProjectPage(page) => text.push_str(&project_page_path(page)),
            Self::Osv(request) => text.push_str(&request.path()),
            Self::Admin(endpoint) => text.push_str(endpoint.path()),
        }
    }

    /// Whose packages it is about; larder's own pages are about none.
    pub fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Page(page) | Self::ProjectPage(page) => Some(&page.scope),
            Self::File(file) | Self::Metadata(file) => Some(&file.scope),
            Self::Mirrored(path) => Some(path.scope()),
            Self::Upload { scope } => Some(scope),
            Self::Osv(_) | Self::Admin(_) => None,
        }
    }

    pub(super) fn is_of_mirror(&self) -> bool {
        self.scope().is_some_and(Scope::is_mirror)
    }

    /// The scope whose packages it reads; an upload reads none.
    pub fn read_scope(&self) -> Option<&Scope> {
        match self {
            Self::Upload { .. } => None,
            _ => self.scope(),
        }
    }

    /// The kind of route in one word, for logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Page(PageRef { name: None, .. }) => "index",
            Self::Page(_) => "page",
            Self::File(_) => "file",
            Self::Metadata(_) => "metadata",
            Self::Mirrored(path) if path.metadata_of().is_some() => "metadata",
            Self::Mirrored(_) => "file",
            Self::Upload { .. } => "upload",
            Self::ProjectPage(_) | Self::Osv(_) | Self::Admin(_) => "internal",
        }
    }

    /// The value of an `Allow` field.
    fn allowed(&self) -> &'static str {
        match self {
            Self::Upload { .. } | Self::Admin(AdminEndpoint::RewriteLock) => "POST",
            Self::Osv(request) if request.method() == Method::POST => "POST",
            _ => READS,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl AdminEndpoint {
    /// Those that have a path.
    const ALL: [Self; 7] = [
        Self::Live,
        Self::Ready,
        Self::Metrics,
        Self::Home,
        Self::Status,
        Self::Find,
        Self::RewriteLock,
    ];

    fn at(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    fn path(self) -> &'static str {
        match self {
            Self::Live => "/-/health/live",
            Self::Ready => "/-/health/ready",
            Self::Metrics => "/-/metrics",
            Self::Root => "/",
            Self::Home => "/-/",
            Self::Status => "/-/status",
            Self::Find => "/-/find",
            Self::RewriteLock => "/-/rewrite-lock",
            Self::Options => EVERYTHING,
        }
    }
}

/// What lies below a scope, piece by piece; empty segments count for nothing. (`split` looks for
/// each slash anew, which costs more than all else that is done with a path.)
struct Segments<'p>(&'p str);

impl<'p> Iterator for Segments<'p> {
    type Item = &'p str;

    fn next(&mut self) -> Option<&'p str> {
        while !self.0.is_empty() {
            let end = self.0.bytes().position(|byte| byte == b'/');
            let end = end.unwrap_or(self.0.len());
            let segment = &self.0[..end];
            self.0 = self.0.get(end + 1..).unwrap_or_default();
            if !segment.is_empty() {
                return Some(segment);
            }
        }
        None
    }
}

/// Takes apart the address of a project's or group's registry: whose it is, its id as it was
/// written, and what lies below.
fn registry_of(path: &str) -> Option<(ScopeKind, &str, &str)> {
    let path = path.strip_prefix("/api/v4/")?;
    let (kind, path, registry) = match path.strip_prefix("projects/") {
        Some(path) => (ScopeKind::Project, path, "/packages/pypi"),
        None => {
            let path = path.strip_prefix("groups/")?;
            (ScopeKind::Group, path, "/-/packages/pypi")
        }
    };
    let end = path.bytes().position(|byte| byte == b'/')?;
    let below = path[end..].strip_prefix(registry)?;
    if !below.is_empty() && !below.starts_with('/') {
        return None;
    }
    Some((kind, &path[..end], below))
}

/// What is larder's own: no address of it has an empty segment.
fn own(path: &str) -> Option<Route> {
    if let Some(endpoint) = AdminEndpoint::at(path) {
        return Some(Route::Admin(endpoint));
    }
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    match segments.as_slice() {
        ["osv", rest @ ..] => OsvRequest::read(rest).map(Route::Osv),
        [kind, id, name] => project_page_of(kind, id, name),
        _ => None,
    }
}

/// The page that people read of a project.
fn project_page_of(kind: &str, id: &str, name: &str) -> Option<Route> {
    let kind = match kind {
        "projects" => ScopeKind::Project,
        "groups" => ScopeKind::Group,
        "mirrors" => ScopeKind::Mirror,
        _ => return None,
    };
    let scope = Scope::parse(kind, id)?;
    Some(Route::ProjectPage(PageRef::parse(scope, name)?))
}

fn project_page_path(page: &PageRef) -> String {
    let kind = if page.scope.is_mirror() {
        "mirrors/"
    } else {
        ""
    };
    let name = page.name.as_ref().map_or("", ProjectName::as_str);
    format!("/-/{kind}{}/{name}", page.scope)
}

/// What GitLab's registry of a project or group has.
fn below_gitlab(
    kind: ScopeKind,
    id: &str,
    below: &str,
    slashed: bool,
) -> Result<Route, RouteError> {
    if id.is_empty() {
        return Err(RouteError::Malformed(EMPTY_SEGMENT));
    }
    let Some(scope) = Scope::parse(kind, id) else {
        return Err(RouteError::Malformed(
            "a project or group is a number or its full path with %2F for each slash",
        ));
    };
    let mut segments = Segments(below);
    let mut next = || segments.next();
    let route = match [next(), next(), next(), next()] {
        [None, ..] if kind == ScopeKind::Project => Some(Route::Upload { scope }),
        [Some("simple"), name, None, _] => page_of(scope, name),
        [Some("files"), Some(digest), Some(filename), None] if !slashed => {
            file_of(scope, digest, filename)
        }
        _ => None,
    };
    route.ok_or(RouteError::Unknown)
}

/// `simple` and `simple/NAME` are pages of a mirror as of GitLab; everything else below its name is
/// a file.
fn below_mirror(mirror: &str, below: &str, slashed: bool) -> Option<Route> {
    let scope = Scope::mirror(mirror)?;
    let mut segments = Segments(below);
    let mut next = || segments.next();
    match [next(), next(), next()] {
        [Some("simple"), name, None] => page_of(scope, name),
        [Some(_), ..] if !slashed => {
            let rest: Vec<&str> = Segments(below).collect();
            let path = MirrorPath::parse(scope, &rest.join("/"));
            Some(Route::Mirrored(path.ok()?))
        }
        _ => None,
    }
}

/// The page of this project; without a name, of the scope.
fn page_of(scope: Scope, name: Option<&str>) -> Option<Route> {
    Some(Route::Page(match name {
        None => PageRef::index(scope),
        Some(name) => PageRef::parse(scope, name)?,
    }))
}

/// A file of GitLab's, or the metadata of a wheel.
fn file_of(scope: Scope, digest: &str, filename: &str) -> Option<Route> {
    match filename.strip_suffix(".metadata") {
        Some(wheel) if is_wheel(wheel) => {
            let file = FileRef::parse(scope, digest, wheel)?;
            Some(Route::Metadata(file))
        }
        _ => Some(Route::File(FileRef::parse(scope, digest, filename)?)),
    }
}

fn credential_in(query: &str) -> Option<&'static str> {
    for pair in query.split(['&', ';']) {
        let name = pair.split('=').next().unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8_lossy();
        for known in CREDENTIAL_QUERIES {
            if name.eq_ignore_ascii_case(known) {
                return Some(known);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
