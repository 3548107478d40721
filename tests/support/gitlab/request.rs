//! A request's head as it came, and the address it asks for.

use std::fmt;

use percent_encoding::percent_decode_str;

/// Method, target and headers, nothing decoded.
#[derive(Clone, Debug)]
pub struct Head {
    pub method: String,
    pub target: String,
    /// HTTP/1.1 rather than 1.0.
    pub version_1_1: bool,
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Reads the lines of a head without the empty one; says what is wrong with it otherwise.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(format!("request line {first:?}"));
        };
        let version_1_1 = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(format!("version in {first:?}")),
        };
        let mut headers = Vec::new();
        for line in lines {
            match line.split_once(':') {
                Some((name, value)) if !name.is_empty() && !name.contains([' ', '\t']) => {
                    headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
                }
                _ => return Err(format!("header line {line:?}")),
            }
        }
        Ok(Self { method: method.to_owned(), target: target.to_owned(), version_1_1, headers })
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn header_contains(&self, name: &str, word: &str) -> bool {
        self.header(name).is_some_and(|value| value.to_ascii_lowercase().contains(word))
    }

    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub(super) fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

/// The kinds of request the stand-in knows, on both its listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `.../simple`
    Index,
    /// `.../simple/NAME`
    Page,
    /// `.../files/SHA/NAME` at GitLab
    File,
    /// A file at the object store
    Object,
    /// `POST .../packages/pypi`
    Upload,
    /// `.../forward/...` of the Dependency Firewall
    Forward,
    /// A path or a method that larder has no reason to send
    Unknown,
}

/// The project or group of a route, decoded: a number or a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Group(String),
    Project(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Index(Scope),
    Page(Scope, String),
    File { scope: Scope, sha256: String, filename: String },
    Forward { project: String, name: String, rest: String },
    Upload { project: String },
    Authorize,
}

impl Route {
    /// Reads a path below the relative root, normalised as Grape does: empty segments do not count.
    pub(super) fn parse(path: &str, root: &str) -> Option<Self> {
        let path = path.strip_prefix(root)?.strip_prefix("/api/v4/")?;
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (scope, rest) = match segments.as_slice() {
            ["groups", id, "-", "packages", "pypi", rest @ ..] => (Scope::Group(decode(id)), rest),
            ["projects", id, "packages", "pypi", rest @ ..] => (Scope::Project(decode(id)), rest),
            _ => return None,
        };
        match (scope, rest) {
            (scope, ["simple"]) => Some(Self::Index(scope)),
            (scope, ["simple", name @ ..]) => Some(Self::Page(scope, decode(&name.join("/")))),
            (scope, ["files", sha256, filename @ ..]) => {
                let filename = decode(&filename.join("/"));
                filename.contains('.').then(|| Self::File { scope, sha256: decode(sha256), filename })
            }
            (Scope::Project(project), ["forward", name, rest @ ..]) => {
                Some(Self::Forward { project, name: decode(name), rest: rest.join("/") })
            }
            (Scope::Project(project), []) => Some(Self::Upload { project }),
            (Scope::Project(_), ["authorize"]) => Some(Self::Authorize),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Index(_) => Kind::Index,
            Self::Page(..) => Kind::Page,
            Self::File { .. } => Kind::File,
            Self::Forward { .. } => Kind::Forward,
            Self::Upload { .. } => Kind::Upload,
            Self::Authorize => Kind::Unknown,
        }
    }

    /// What `Allow` says.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Upload { .. } | Self::Authorize => "OPTIONS, POST",
            _ => "OPTIONS, GET, HEAD",
        }
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
