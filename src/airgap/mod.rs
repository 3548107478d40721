//! Carrying packages across: what a lock file names, what of it a machine needs, fetching it, and the bundle it travels in.
//!
//! Nothing of a package is ever executed here, and nothing is resolved: locked input is exact. What is fetched is fetched
//! by the daemon that holds the folder, over its control socket, by the same services that answer clients. Must not know
//! HTTP statuses' causes, nor how anything is printed.

pub mod build_requires;
pub mod bundle;
mod config;
mod exchange;
mod export;
mod feed;
pub mod fetch;
mod import;
pub mod listing;
pub mod lockfile;
pub mod plan;
pub mod record;
pub mod rewrite;
pub mod selection;
mod sets;
mod signature;
pub mod tags;
pub mod target;
pub mod wanted;
pub mod warm;

pub use config::ImportConfig;
pub use exchange::Exchange;
pub use export::{CONTENT, Export, ExportError, Exported};
pub use feed::{Feed, Pieces, feed};
pub use import::{Import, ImportError, Imported};
pub use sets::{Recorded, SetError, WriteSet, set_body};
pub use signature::{SignatureError, sign};
