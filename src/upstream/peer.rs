//! Who is talked to, as messages name it.
//!
//! What is written here reaches clients. Must not know addresses but that of a parent, which is all
//! that tells one larder from another.

use std::fmt;
use std::sync::Arc;

use crate::registry::Scope;

/// The name under which the index is served that GitLab points to.
pub const PUBLIC_INDEX: &str = "public-index";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    GitLab,
    /// The object store that GitLab's signed links lead to.
    Store,
    Mirror(Scope),
    /// The larder at this URL, asked in place of GitLab and of its mirrors.
    Parent(Arc<str>),
    /// One of several, where it is not known which: their URLs.
    Parents(Arc<str>),
    /// The bucket that the fleet's larders share.
    SharedStore,
}

impl Peer {
    /// Who is asked about packages of this scope, if that is no parent.
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

    /// The key that says where it is.
    pub(super) fn url_key(&self) -> &'static str {
        match self {
            Self::Parent(_) | Self::Parents(_) => "parent",
            _ => "gitlab.url",
        }
    }

    /// The section of the configuration that says how it is reached.
    pub(super) fn section(&self) -> String {
        match self {
            Self::GitLab | Self::Store | Self::Parent(_) | Self::Parents(_) => "gitlab".to_owned(),
            Self::Mirror(_) if self.is_public_index() => "gitlab".to_owned(),
            Self::Mirror(name) => format!("mirrors.{name}"),
            Self::SharedStore => "shared_store".to_owned(),
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
            Self::Parent(url) => write!(f, "the parent at {url}"),
            Self::Parents(urls) => write!(f, "one of the parents at {urls}"),
            Self::SharedStore => f.write_str("the shared store"),
        }
    }
}
