//! Where pages come from: GitLab, and the mirrors by name.
//!
//! Owns what the index room has to know of each: how its links are judged, how long its pages
//! count, and in which format it is asked. Must not know how it is reached.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::index::rewrite::link_policy::{LinkPolicy, LinkRules, MirrorRules};
use crate::registry::{Bases, MirrorBase, PrivateNames, Scope, is_portable};
use crate::simple::Format;

/// What an operator says of one mirror's pages.
#[derive(Clone, Debug)]
pub struct MirrorPages {
    pub base: MirrorBase,
    pub ttl: Duration,
    /// Files younger than this are left out and refused.
    pub min_age: Duration,
}

pub(super) struct MirrorSource {
    pub ttl: Duration,
    pub min_age: Duration,
    links: LinkPolicy,
}

pub struct PageSources {
    gitlab: LinkPolicy,
    /// Of pages whose links are larder's own.
    portable: LinkPolicy,
    mirrors: HashMap<Scope, MirrorSource>,
    private: Arc<PrivateNames>,
}

impl PageSources {
    /// `path_prefix` stands before every rewritten link: the path of `public_url`, mostly empty.
    pub fn new(
        bases: Bases,
        mirrors: impl IntoIterator<Item = MirrorPages>,
        private: PrivateNames,
        path_prefix: &str,
    ) -> Self {
        let private = Arc::new(private);
        let policy = |rules| LinkPolicy::new(rules, Arc::clone(&private), path_prefix);
        let mut known = HashMap::new();
        let mut all = Vec::new();
        for MirrorPages { base, ttl, min_age } in mirrors {
            let scope = base.scope().clone();
            let rules = MirrorRules {
                base: Arc::new(base),
                min_age,
            };
            all.push(rules.clone());
            let links = policy(LinkRules::Mirror(rules));
            known.insert(
                scope,
                MirrorSource {
                    ttl,
                    min_age,
                    links,
                },
            );
        }
        let mirrors: Arc<[MirrorRules]> = all.into();
        Self {
            portable: policy(LinkRules::Portable(Arc::clone(&mirrors))),
            gitlab: policy(LinkRules::GitLab { bases, mirrors }),
            mirrors: known,
            private,
        }
    }

    pub(super) fn private(&self) -> &PrivateNames {
        &self.private
    }

    pub(super) fn mirror(&self, scope: &Scope) -> Option<&MirrorSource> {
        self.mirrors.get(scope)
    }

    /// How old a file must be to be listed.
    pub(super) fn min_age(&self, scope: &Scope) -> Duration {
        match self.mirror(scope) {
            Some(mirror) => mirror.min_age,
            None => Duration::ZERO,
        }
    }

    pub(super) fn links(&self, scope: &Scope) -> Option<&LinkPolicy> {
        if scope.is_mirror() {
            self.mirror(scope).map(|mirror| &mirror.links)
        } else {
            Some(&self.gitlab)
        }
    }

    /// The same for a stored page that came from `url`. One that was carried here needs nothing to
    /// be configured.
    pub(super) fn links_of(&self, scope: &Scope, url: &str) -> Option<LinkPolicy> {
        if is_portable(url) {
            Some(self.portable.clone())
        } else {
            self.links(scope).cloned()
        }
    }

    /// The format to ask for where a client wants `wanted`. Only JSON is sure to carry upload
    /// times, which a minimum age needs.
    pub(super) fn asked_format(&self, scope: &Scope, wanted: Format) -> Format {
        if self.min_age(scope).is_zero() {
            wanted
        } else {
            Format::Json
        }
    }
}
