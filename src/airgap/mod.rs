//! Carrying packages across: what a lock file names, what of it a machine needs, fetching it, and
//! the bundle it travels in.
//!
//! Nothing of a package is ever executed here, and nothing is resolved: locked input is exact. What
//! is fetched is fetched by the daemon that holds the folder, over its control socket, by the same
//! services that answer clients. Must not know HTTP statuses' causes, nor how anything is printed.

pub mod bundle;
mod exchange;
pub mod lockfile;
pub mod rewrite;
pub mod wanted;
pub mod warm;

pub use exchange::{
    BodySender, BundleService, CONTENT, Export, ExportError, Exported, Feed, Import, ImportConfig,
    ImportError, Imported, Recorded, SetError, SignatureError, WriteSet, feed, set_body, sign,
};
