//! What is asked: GitLab's PyPI addresses, as values.
//!
//! One grammar (`route.rs`) reads a client's request line, writes the request to GitLab, and recognises the links on
//! GitLab's pages. Nothing else in the crate builds or takes apart an address. Must not know HTTP status codes,
//! credentials, the disk, or whether an address leads anywhere.

mod base;
mod file_ref;
mod page_ref;
mod route;
mod scope;

pub use base::{Base, BaseError, Bases, LinkTarget};
pub use file_ref::{FileRef, Filename};
pub use page_ref::PageRef;
pub use route::{House, Route, RouteError};
pub use scope::{Scope, ScopeKind};
