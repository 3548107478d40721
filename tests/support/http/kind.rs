//! What a stand-in is asked for, and at which of its addresses.

/// The kinds of request the stand-ins know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `.../simple`
    Index,
    /// `.../simple/NAME`
    Page,
    /// A distribution: `.../files/SHA/NAME` at GitLab, anything else that is a file at a public
    /// index
    File,
    /// A wheel's metadata at a public index: the wheel's address with `.metadata`
    Metadata,
    /// A file at the object store
    Object,
    /// `POST .../packages/pypi`
    Upload,
    /// `.../forward/...` of the Dependency Firewall
    Forward,
    /// GitLab's own version, of which a daemon has no need
    Version,
    /// GitLab's packages API
    Packages,
    /// A path or a method that larder has no reason to send
    Unknown,
}

/// The addresses of the stand-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    GitLab,
    /// The object store behind GitLab.
    Store,
    /// A public index.
    Index,
    /// The host of its files.
    Files,
}
