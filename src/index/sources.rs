//! Where pages come from: GitLab, and the mirrors by name.
//!
//! Owns what the index room has to know of each: how its links are judged, how long its pages count, and in which format
//! it is asked. Must not know how it is reached.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::links::{Links, MirrorRules};
use crate::registry::{Bases, MirrorBase, PrivateNames, Scope, is_house};
use crate::simple::Format;

/// What an operator says of one mirror's pages.
#[derive(Clone, Debug)]
pub struct MirrorPages {
    pub base: MirrorBase,
    pub ttl: Duration,
    /// Files younger than this are left out and refused.
    pub min_age: Duration,
}

pub(super) struct Mirror {
    pub ttl: Duration,
    pub min_age: Duration,
    links: Links,
}

pub struct Sources {
    gitlab: Links,
    /// Of pages whose links are larder's own.
    house: Links,
    mirrors: HashMap<Scope, Mirror>,
    private: Arc<PrivateNames>,
}

impl Sources {
    /// `path_prefix` stands before every rewritten link: the path of `public_url`, mostly empty.
    pub fn new(
        bases: Bases,
        mirrors: impl IntoIterator<Item = MirrorPages>,
        private: PrivateNames,
        path_prefix: &str,
    ) -> Self {
        let private = Arc::new(private);
        let (mut known, mut rules) = (HashMap::new(), Vec::new());
        for MirrorPages { base, ttl, min_age } in mirrors {
            let scope = base.scope().clone();
            let rule = MirrorRules {
                base: Arc::new(base),
                min_age,
                private: Arc::clone(&private),
            };
            let links = Links::of_mirror(rule.clone(), path_prefix);
            rules.push(rule);
            known.insert(
                scope,
                Mirror {
                    ttl,
                    min_age,
                    links,
                },
            );
        }
        let rules: Arc<[MirrorRules]> = rules.into();
        Self {
            house: Links::of_house(Arc::clone(&rules), Arc::clone(&private), path_prefix),
            gitlab: Links::of_gitlab(bases, rules, path_prefix),
            mirrors: known,
            private,
        }
    }

    pub(super) fn private(&self) -> &PrivateNames {
        &self.private
    }

    pub(super) fn mirror(&self, scope: &Scope) -> Option<&Mirror> {
        self.mirrors.get(scope)
    }

    pub(super) fn links(&self, scope: &Scope) -> Option<&Links> {
        if scope.is_mirror() {
            self.mirror(scope).map(|mirror| &mirror.links)
        } else {
            Some(&self.gitlab)
        }
    }

    /// The same for a stored page that came from `url`. One that was carried here needs nothing to be configured.
    pub(super) fn links_of(&self, scope: &Scope, url: &str) -> Option<Links> {
        if is_house(url) {
            Some(self.house.clone())
        } else {
            self.links(scope).cloned()
        }
    }

    /// The format to ask for where a client wants `wanted`. Only JSON is sure to carry upload times, which a cooldown
    /// needs.
    pub(super) fn asked_format(&self, scope: &Scope, wanted: Format) -> Format {
        match self.mirror(scope) {
            Some(mirror) if !mirror.min_age.is_zero() => Format::Json,
            _ => wanted,
        }
    }
}
