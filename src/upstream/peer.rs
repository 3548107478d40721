//! Who is talked to, as messages name it.
//!
//! Must not know addresses: what is written here reaches clients.

use std::fmt;

use crate::registry::Scope;

/// The name under which the index is served that GitLab points to.
pub const PUBLIC_INDEX: &str = "public-index";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    GitLab,
    /// The object store that GitLab's signed links lead to.
    Store,
    Mirror(Scope),
    /// A larder, asked for its status.
    Parent,
}

impl Peer {
    /// Who is asked about packages of this scope.
    pub fn of(scope: &Scope) -> Self {
        if scope.is_mirror() {
            Self::Mirror(scope.clone())
        } else {
            Self::GitLab
        }
    }

    /// The one that no section names, because GitLab's redirects tell it.
    fn is_public_index(&self) -> bool {
        matches!(self, Self::Mirror(name) if name.to_string() == PUBLIC_INDEX)
    }

    /// The section of the configuration that says how it is reached.
    pub(super) fn section(&self) -> String {
        match self {
            Self::GitLab | Self::Store | Self::Parent => "gitlab".to_owned(),
            Self::Mirror(_) if self.is_public_index() => "gitlab".to_owned(),
            Self::Mirror(name) => format!("mirrors.{name}"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GitLab => f.write_str("GitLab"),
            Self::Store => f.write_str("the object store"),
            Self::Mirror(_) if self.is_public_index() => f.write_str("the public index"),
            Self::Mirror(name) => write!(f, "the mirror {name}"),
            Self::Parent => f.write_str("the parent"),
        }
    }
}
