//! What is there and who refers to it, in one look.
//!
//! Must not change anything.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::MaintenanceError;
use crate::registry::{FileRef, Scope};
use crate::simple::{ProjectName, project_candidates};
use crate::store::{Store, StoredBlob};
use crate::values::digest::Digest;

/// All bodies, by digest.
pub(super) struct Census {
    pub blobs: HashMap<Digest, StoredBlob>,
}

impl Census {
    pub(super) fn take(store: &Store) -> Result<Self, MaintenanceError> {
        let blobs = store
            .every_blob()?
            .into_iter()
            .map(|blob| (blob.digest, blob))
            .collect();
        Ok(Self { blobs })
    }
}

/// The project that a file is taken to be of, everywhere in this room alike.
pub(super) fn project_of(file: &FileRef) -> Option<ProjectName> {
    project_candidates(file.filename.as_str())
        .into_iter()
        .next()
}

/// A scope as people write it: `projects/42`, `groups/acme`, or a mirror's name.
pub(super) fn scope_of(text: &str) -> Option<Scope> {
    use crate::registry::ScopeKind::{Group, Project};
    match text.split_once('/') {
        Some(("projects", id)) => Scope::parse(Project, id),
        Some(("groups", id)) => Scope::parse(Group, id),
        Some(_) => None,
        None => Scope::mirror(text),
    }
}

/// Whole seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH)
        .ok()
        .map(|since| since.as_secs())
}
