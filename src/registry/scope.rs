//! A GitLab project or group, as the client named it.
//!
//! Owns the id's alphabet and its spelling in a path. Must not know who may read it.

use std::fmt;
use std::sync::Arc;

/// Longest id accepted, in bytes as written. GitLab's own limit on a full path is 255 characters a segment.
const ID_BYTES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeKind {
    Project,
    Group,
}

/// A project or group. The id is kept as it was written (`42`, `acme%2Fwidgets`), because GitLab gets it so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    kind: ScopeKind,
    id: Arc<str>,
}

impl Scope {
    /// Reads one raw path segment: a number, or a full path whose slashes are written `%2F`.
    ///
    /// Allowed are GitLab's path characters; `.` and `..` as a part, and any other escape, are not.
    pub fn parse(kind: ScopeKind, segment: &str) -> Option<Self> {
        if segment.is_empty() || segment.len() > ID_BYTES_MAX {
            return None;
        }
        let parts = segment.replace("%2f", "%2F");
        let sound = parts.split("%2F").all(|part| {
            let known = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            known && !part.is_empty() && !part.starts_with('.')
        });
        sound.then(|| Self { kind, id: segment.into() })
    }

    pub fn kind(&self) -> ScopeKind {
        self.kind
    }

    /// Named by its number, as GitLab does in its links, rather than by its path.
    pub fn is_numbered(&self) -> bool {
        self.id.bytes().all(|b| b.is_ascii_digit())
    }

    /// The scope's registry below the API root, without a trailing slash.
    pub(super) fn path(&self) -> String {
        match self.kind {
            ScopeKind::Project => format!("/api/v4/projects/{}/packages/pypi", self.id),
            ScopeKind::Group => format!("/api/v4/groups/{}/-/packages/pypi", self.id),
        }
    }
}

/// As the command line and people write it: `projects/42`, `groups/acme`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ScopeKind::Project => write!(f, "projects/{}", self.id),
            ScopeKind::Group => write!(f, "groups/{}", self.id),
        }
    }
}
