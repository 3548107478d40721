//! Whose packages are asked for: a GitLab project or group, or a mirror, as the client named it.
//!
//! Owns the alphabets of ids and mirror names, and their spelling in a path. Must not know who may
//! read it, or whether a mirror of that name is configured.

use std::fmt;
use std::sync::Arc;

/// Longest id accepted, in bytes as written. GitLab's own limit on a full path is 255 characters a
/// segment.
const ID_BYTES_MAX: usize = 1024;

/// Longest name of a mirror, in bytes.
const MIRROR_BYTES_MAX: usize = 64;

/// Of most paths, with room for what follows a scope.
const PATH_BYTES_USUAL: usize = 128;

/// A path by itself, of what adds it to a text.
pub(super) fn spelled(push: impl FnOnce(&mut String)) -> String {
    let mut path = String::with_capacity(PATH_BYTES_USUAL);
    push(&mut path);
    path
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeKind {
    Project,
    Group,
    /// Another index beside GitLab, by the name that the operator gave it.
    Mirror,
}

/// A project, a group or a mirror. An id is kept as it was written (`42`, `acme%2Fwidgets`),
/// because GitLab gets it so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    kind: ScopeKind,
    id: Arc<str>,
}

impl Scope {
    /// Reads one raw path segment: a number, or a full path whose slashes are written `%2F`.
    ///
    /// Allowed are GitLab's path characters; `.` and `..` as a part, and any other escape, are not.
    /// For a mirror it is its name.
    pub fn parse(kind: ScopeKind, segment: &str) -> Option<Self> {
        if kind == ScopeKind::Mirror {
            return Self::mirror(segment);
        }
        if segment.is_empty() || segment.len() > ID_BYTES_MAX {
            return None;
        }
        let are_sound = if segment.bytes().any(|b| b == b'%') {
            let parts = segment.replace("%2f", "%2F");
            parts.split("%2F").all(is_path_part)
        } else {
            is_path_part(segment)
        };
        if !are_sound {
            return None;
        }
        Some(Self {
            kind,
            id: segment.into(),
        })
    }

    /// A mirror by its name: `[a-z0-9][a-z0-9-]*`, which no other first segment of ours is but
    /// `api`.
    pub fn mirror(name: &str) -> Option<Self> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let sound = (1..=MIRROR_BYTES_MAX).contains(&name.len())
            && name.bytes().all(known)
            && !name.starts_with('-')
            && name != "api";
        if !sound {
            return None;
        }
        Some(Self {
            kind: ScopeKind::Mirror,
            id: name.into(),
        })
    }

    /// As the command line and people write it; the slashes of a full path may stand bare:
    /// `projects/acme/widgets`.
    pub fn named(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some(("projects", id)) => Self::parse(ScopeKind::Project, &id.replace('/', "%2F")),
            Some(("groups", id)) => Self::parse(ScopeKind::Group, &id.replace('/', "%2F")),
            Some(_) => None,
            None => Self::mirror(text),
        }
    }

    pub fn kind(&self) -> ScopeKind {
        self.kind
    }

    pub fn is_mirror(&self) -> bool {
        self.kind == ScopeKind::Mirror
    }

    /// Named by its number, as GitLab does in its links, rather than by its path.
    pub fn is_numbered(&self) -> bool {
        self.id.bytes().all(|b| b.is_ascii_digit())
    }

    /// The scope's list in GitLab's packages API, below the root; a mirror has none.
    pub(super) fn packages_api(&self) -> Option<String> {
        match self.kind {
            ScopeKind::Project => Some(format!("/api/v4/projects/{}/packages", self.id)),
            ScopeKind::Group => Some(format!("/api/v4/groups/{}/packages", self.id)),
            ScopeKind::Mirror => None,
        }
    }

    /// The scope's registry below the root, without a trailing slash.
    pub(super) fn path(&self) -> String {
        spelled(|path| self.push_path(path))
    }

    pub(super) fn push_path(&self, text: &mut String) {
        let [before, behind] = match self.kind {
            ScopeKind::Project => ["/api/v4/projects/", "/packages/pypi"],
            ScopeKind::Group => ["/api/v4/groups/", "/-/packages/pypi"],
            ScopeKind::Mirror => ["/", ""],
        };
        text.push_str(before);
        text.push_str(&self.id);
        text.push_str(behind);
    }
}

/// Whether GitLab may call a project, or a group above it, so.
fn is_path_part(part: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
}

/// As the command line and people write it: `projects/42`, `groups/acme`, and a mirror by its name
/// alone.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ScopeKind::Project => write!(f, "projects/{}", self.id),
            ScopeKind::Group => write!(f, "groups/{}", self.id),
            ScopeKind::Mirror => f.write_str(&self.id),
        }
    }
}
