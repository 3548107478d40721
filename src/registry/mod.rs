//! What is asked: addresses of GitLab's PyPI registry and of mirrors, as values.
//!
//! One grammar (`route.rs`) reads a client's request line, writes the request upstream, and
//! recognises the links on upstream's pages. Where GitLab lives is in `base.rs`, where a mirror's
//! pages and files live in `mirror_base.rs`; which project names are never a mirror's business in
//! `private_names.rs`, which files may not be had in `policy/`, and which releases are known to be bad
//! in `advisories/`. Nothing else in the crate builds or takes apart an address. Must not know
//! HTTP status codes, credentials, the disk, or whether an address leads anywhere.

mod advisories;
mod base;
mod file_hosts;
mod file_ref;
mod filename;
mod hint;
mod mirror_base;
mod mirror_path;
mod osv_request;
mod packages_api;
mod page_ref;
pub mod policy;
mod portable_base;
mod private_names;
mod raw_path;
mod route;
mod scope;
mod swap;

pub use advisories::{
    Advisory, AdvisoryFeed, AdvisoryKind, AdvisoryRule, AdvisorySet, AdvisorySetBuilder, FeedState,
    KnownBad, PolicyConfig, RECORD_BYTES_MAX, RecordCounts, RecordError, Release, Severity,
    StaleRule, VulnerableRule, is_advisory_id,
};
pub use base::{Base, BaseError, Bases, LinkTarget};
pub use file_hosts::FileHosts;
pub use file_ref::{FileRef, ListedFile};
pub use filename::Filename;
pub use mirror_base::{MirrorBase, MirrorBaseError, Stranger};
pub use mirror_path::MirrorPath;
pub use osv_request::{OSV_BASE, OsvRequest};
pub use packages_api::{PACKAGES_PER_PAGE, PackagesAddress};
pub use page_ref::PageRef;
pub use portable_base::{PORTABLE_BASE, is_portable, portable_url, recognise_portable};
pub use private_names::{PrivateNames, PrivateNamesError};
pub use route::{AdminEndpoint, Route, RouteError};
pub use scope::{Scope, ScopeKind};
pub use swap::{Swap, Swapped};
