//! Who may: the rule that GitLab's own decision about *this* caller counts, hit or miss.
//!
//! A caller is known by a [`Fingerprint`] of the credential it sent, anonymous callers included.
//! GitLab's decision about a caller comes with the answers to that caller's own requests, and holds
//! for `auth.cache_ttl`, absolutely: use does not prolong it. What an answer proves:
//!
//! - a project page or a project's file: the right to that project;
//! - a page of either kind: the right to the files of its own scope that it lists, under the addresses it lists them;
//!   what else it links to is text that an uploader may have written;
//! - a group page or a group's file: the right to that page or that file, no more, because group pages differ per caller.
//!
//! A right to a project is not a right to any blob: the file must also be known to belong to the
//! project, from a page or a file answer of the same recent time. A [`Permit`] is the proof that
//! the rule was asked; nothing outside this room can make one, and a response body with stored
//! bytes takes one by type.
//!
//! A mirror is the exception: it is a public index, or one that the operator opens with a
//! credential of its own. That it is configured is the decision, for every client that can connect;
//! what a mirror's pages link to counts for the mirror only.
//!
//! Offline GitLab cannot be asked, and the operator's files stand in for it (`offline_auth`).
//!
//! Everything here lives in memory and ends with the process. Must not know HTTP statuses beyond
//! [`verdict`], the disk, or what is stored: local state never decides who may.

mod caller;
mod credential;
mod fingerprint;
mod grants;
mod keys;
mod listing;
mod offline_auth;
mod permit;
pub mod verdict;

pub use caller::Caller;
pub use credential::{Credential, CredentialError};
pub use fingerprint::{Fingerprint, FingerprintKey};
pub use grants::{Access, AuthConfig, CallerError, GrantCounts, GrantReading};
pub use keys::{OfflineKeys, OfflineKeysError, OfflineRule};
pub use listing::ListedFiles;
pub use offline_auth::OfflineAuthError;
pub use permit::{Authorization, Permit};
pub use verdict::AuthVerdict;
