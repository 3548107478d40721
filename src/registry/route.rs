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

/// No address of GitLab's registry has more.
const SEGMENTS_USUAL: usize = 12;

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
        if let Some(endpoint) = AdminEndpoint::at(path) {
            return Ok(Self::Admin(endpoint));
        }
        let mut segments = segments(path);
        let slashed = segments.last() == Some(&"");
        if slashed {
            segments.pop();
        }
        let above = above(&segments);
        if segments[..above].contains(&"") {
            return Err(RouteError::Malformed("empty path segment"));
        }
        let mut place = 0;
        segments.retain(|segment| {
            place += 1;
            place <= above || !segment.is_empty()
        });
        let route = match segments.as_slice() {
            ["-", "osv", rest @ ..] if !slashed => OsvRequest::read(rest).map(Self::Osv),
            ["-", kind, id, name] if !slashed => project_page_of(kind, id, name),
            ["api", "v4", "projects", id, "packages", "pypi", rest @ ..] => {
                return below_gitlab(ScopeKind::Project, id, rest, slashed);
            }
            [
                "api",
                "v4",
                "groups",
                id,
                "-",
                "packages",
                "pypi",
                rest @ ..,
            ] => return below_gitlab(ScopeKind::Group, id, rest, slashed),
            [mirror, rest @ ..] => below_mirror(mirror, rest, slashed),
            [] => None,
        };
        route.ok_or(RouteError::Unknown)
    }

    /// The address in canonical form, below GitLab's root as below ours.
    pub fn path(&self) -> String {
        match self {
            Self::Page(page) => page.path(),
            Self::File(file) => file.path(),
            Self::Metadata(file) => format!("{}.metadata", file.path()),
            Self::Mirrored(path) => path.path(),
            Self::Upload { scope } => scope.path(),
            Self::ProjectPage(page) => project_page_path(page),
            Self::Osv(request) => request.path(),
            Self::Admin(endpoint) => endpoint.path().to_owned(),
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

/// What stands behind each slash. (`split` looks for each slash anew, which costs more than all
/// else that is done with a path.)
fn segments(path: &str) -> Vec<&str> {
    let mut segments = Vec::with_capacity(SEGMENTS_USUAL);
    let mut start = 1;
    for (at, byte) in path.bytes().enumerate().skip(1) {
        if byte == b'/' {
            segments.push(&path[start..at]);
            start = at + 1;
        }
    }
    segments.push(&path[start..]);
    segments
}

/// How many segments stand before what lies below a scope; all of them where there is none.
fn above(segments: &[&str]) -> usize {
    match segments {
        ["api", "v4", "projects", _, "packages", "pypi", ..] => 6,
        ["api", "v4", "groups", _, "-", "packages", "pypi", ..] => 7,
        [] | ["api" | "-", ..] => segments.len(),
        [_mirror, ..] => 1,
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
    rest: &[&str],
    slashed: bool,
) -> Result<Route, RouteError> {
    let Some(scope) = Scope::parse(kind, id) else {
        return Err(RouteError::Malformed(
            "a project or group is a number or its full path with %2F for each slash",
        ));
    };
    let route = match rest {
        [] if kind == ScopeKind::Project => Some(Route::Upload { scope }),
        ["simple", page @ ..] => page_of(scope, page),
        ["files", digest, filename] if !slashed => file_of(scope, digest, filename),
        _ => None,
    };
    route.ok_or(RouteError::Unknown)
}

/// `simple` and `simple/NAME` are pages of a mirror as of GitLab; everything else below its name is
/// a file.
fn below_mirror(mirror: &str, rest: &[&str], slashed: bool) -> Option<Route> {
    let scope = Scope::mirror(mirror)?;
    match rest {
        ["simple"] | ["simple", _] => page_of(scope, &rest[1..]),
        [_, ..] if !slashed => {
            let path = MirrorPath::parse(scope, &rest.join("/"));
            Some(Route::Mirrored(path.ok()?))
        }
        _ => None,
    }
}

/// The page at what follows `simple`.
fn page_of(scope: Scope, rest: &[&str]) -> Option<Route> {
    match rest {
        [] => Some(Route::Page(PageRef::index(scope))),
        [name] => Some(Route::Page(PageRef::parse(scope, name)?)),
        _ => None,
    }
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
