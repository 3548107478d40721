//! The configuration as an explanation needs it: understood, and nothing opened.
//!
//! Must not know what is told of it.

use std::path::PathBuf;

use crate::access::AccessConfig;
use crate::file::MetadataConfig;
use crate::index::{IndexConfig, Sources};
use crate::registry::{Bases, MirrorBase, PrivateNames, Route, Scope};
use crate::upstream::{GitLabConfig, MirrorConfig};

/// What an explanation stands on: the configuration, understood as the daemon understands it.
pub struct Ground {
    pub listen: String,
    pub path_prefix: String,
    pub cache_dir: PathBuf,
    pub gitlab: GitLabConfig,
    pub bases: Bases,
    /// Each with its section.
    pub mirrors: Vec<(MirrorBase, MirrorConfig)>,
    pub private: PrivateNames,
    pub sources: Sources,
    pub index: IndexConfig,
    pub metadata: MetadataConfig,
    pub access: AccessConfig,
}

impl Ground {
    pub(super) fn mirror(&self, scope: &Scope) -> Option<&(MirrorBase, MirrorConfig)> {
        self.mirrors.iter().find(|(base, _)| base.scope() == scope)
    }

    /// The URL that is asked for a route.
    pub(super) fn url(&self, route: &Route) -> Option<String> {
        let scope = route.scope()?;
        if scope.is_mirror() {
            return self.mirror(scope)?.0.url(route).map(String::from);
        }
        Some(self.bases.asked().url(route).into())
    }
}
