//! GitLab's addresses as far as the package registry goes.

use percent_encoding::percent_decode_str;

use super::super::http::Kind;

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
    File {
        scope: Scope,
        sha256: String,
        filename: String,
    },
    Forward {
        project: String,
        name: String,
        rest: String,
    },
    Upload {
        project: String,
    },
    Authorize,
    Version,
    /// The packages API: the versions in a scope.
    Packages(Scope),
    /// The files of one version.
    PackageFiles {
        project: String,
        package: String,
    },
}

impl Route {
    /// Reads a path below the relative root, normalised as Grape does: empty segments do not count.
    pub(super) fn parse(path: &str, root: &str) -> Option<Self> {
        let path = path.strip_prefix(root)?.strip_prefix("/api/v4/")?;
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let (scope, rest) = match segments.as_slice() {
            ["groups", id, "-", "packages", "pypi", rest @ ..] => (Scope::Group(decode(id)), rest),
            ["projects", id, "packages", "pypi", rest @ ..] => (Scope::Project(decode(id)), rest),
            ["version"] => return Some(Self::Version),
            ["projects", id, "packages"] => {
                return Some(Self::Packages(Scope::Project(decode(id))));
            }
            ["groups", id, "packages"] => return Some(Self::Packages(Scope::Group(decode(id)))),
            ["projects", id, "packages", package, "package_files"] => {
                return Some(Self::PackageFiles {
                    project: decode(id),
                    package: decode(package),
                });
            }
            _ => return None,
        };
        match (scope, rest) {
            (scope, ["simple"]) => Some(Self::Index(scope)),
            (scope, ["simple", name @ ..]) => Some(Self::Page(scope, decode(&name.join("/")))),
            (scope, ["files", sha256, filename @ ..]) => {
                let filename = decode(&filename.join("/"));
                filename.contains('.').then(|| Self::File {
                    scope,
                    sha256: decode(sha256),
                    filename,
                })
            }
            (Scope::Project(project), ["forward", name, rest @ ..]) => Some(Self::Forward {
                project,
                name: decode(name),
                rest: rest.join("/"),
            }),
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
            Self::Version => Kind::Version,
            Self::Packages(_) | Self::PackageFiles { .. } => Kind::Packages,
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
