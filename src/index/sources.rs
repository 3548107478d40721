//! Where pages come from: GitLab, and the mirrors by name.
//!
//! Owns what the index room has to know of each: how its links are judged, how long its pages
//! count, and in which format it is asked. Must not know how it is reached.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use url::Url;

use crate::index::rewrite::link_policy::{LinkPolicy, LinkRules, MirrorRules};
use crate::index::views::View;
use crate::registry::policy::Policies;
use crate::registry::{Bases, MirrorBase, PrivateNames, Scope, is_portable};
use crate::simple::Format;
use crate::upstream::PUBLIC_INDEX;

/// What an operator says of one mirror's pages.
#[derive(Clone, Debug)]
pub struct MirrorPages {
    pub base: MirrorBase,
    pub ttl: Duration,
    /// Whether it is the index that GitLab points to, which no operator named.
    pub is_public_index: bool,
    /// The group or project that a caller must be let read.
    pub audience: Option<Scope>,
}

pub(super) struct MirrorSource {
    pub base: MirrorBase,
    pub ttl: Duration,
    pub audience: Option<Scope>,
    links: LinkPolicy,
}

pub struct PageSources {
    bases: Bases,
    gitlab: LinkPolicy,
    /// Of pages whose links are larder's own.
    portable: LinkPolicy,
    mirrors: HashMap<Scope, MirrorSource, RandomState>,
    public_index: Option<MirrorBase>,
    /// The index that the parent follows GitLab to.
    parents_public_index: Option<Scope>,
    private: Arc<PrivateNames>,
    policies: Arc<Policies>,
    /// Whether GitLab's pages come from another larder, whose JSON tells what it was told of dates.
    has_parent: bool,
    views: HashMap<Scope, View>,
}

impl PageSources {
    /// `path_prefix` stands before every rewritten link: the path of `public_url`, mostly empty.
    pub fn new(
        bases: Bases,
        mirrors: impl IntoIterator<Item = MirrorPages>,
        private: PrivateNames,
        policies: Policies,
        path_prefix: &str,
    ) -> Self {
        let private = Arc::new(private);
        let policies = Arc::new(policies);
        let policy = |rules| {
            LinkPolicy::new(
                rules,
                Arc::clone(&private),
                Arc::clone(&policies),
                path_prefix,
            )
        };
        let mut known: HashMap<_, _, RandomState> = HashMap::default();
        let mut all = Vec::new();
        let mut public_index = None;
        for mirror in mirrors {
            let base = mirror.base;
            let rules = MirrorRules {
                base: Arc::new(base.clone()),
            };
            if mirror.is_public_index {
                public_index = Some(base.clone());
            } else {
                all.push(rules.clone());
            }
            let source = MirrorSource {
                ttl: mirror.ttl,
                audience: mirror.audience,
                links: policy(LinkRules::Mirror(rules)),
                base,
            };
            known.insert(source.base.scope().clone(), source);
        }
        let mirrors: Arc<[MirrorRules]> = all.into();
        let followed = public_index.as_ref().map(MirrorBase::scope);
        let learned = Scope::mirror(PUBLIC_INDEX);
        let parents_public_index =
            learned.filter(|scope| known.contains_key(scope) && Some(scope) != followed);
        Self {
            portable: policy(LinkRules::Portable(Arc::clone(&mirrors))),
            gitlab: policy(LinkRules::GitLab {
                bases: bases.clone(),
                mirrors,
            }),
            bases,
            mirrors: known,
            public_index,
            parents_public_index,
            private,
            policies,
            has_parent: false,
            views: HashMap::new(),
        }
    }

    /// The same where a parent is asked in place of GitLab.
    #[must_use]
    pub fn under_parent(self, has_parent: bool) -> Self {
        Self { has_parent, ..self }
    }

    #[must_use]
    pub fn with_views(self, views: impl IntoIterator<Item = View>) -> Self {
        let mut known = HashMap::new();
        for view in views {
            known.insert(view.scope.clone(), view);
        }
        Self {
            views: known,
            ..self
        }
    }

    pub fn view(&self, scope: &Scope) -> Option<&View> {
        if self.views.is_empty() {
            return None;
        }
        self.views.get(scope)
    }

    pub(super) fn views(&self) -> impl Iterator<Item = &View> {
        self.views.values()
    }

    /// What a caller must be let read to be given anything of this mirror.
    pub(super) fn audience(&self, scope: &Scope) -> Option<&Scope> {
        self.mirror(scope)?.audience.as_ref()
    }

    /// The index that GitLab points to, learned or not; none if it is not followed.
    pub(super) fn public_index(&self) -> Option<&MirrorBase> {
        self.public_index.as_ref()
    }

    /// The mirror whose index is at this URL: one that an operator named before the one that was
    /// learned, because rules go with it.
    pub(super) fn mirror_at(&self, index: &Url) -> Option<&Scope> {
        let mut found = None;
        for (scope, mirror) in &self.mirrors {
            if mirror.base.index() != Some(index) {
                continue;
            }
            let is_learned = self.is_public_index(scope);
            if !is_learned {
                return Some(scope);
            }
            found = Some(scope);
        }
        found
    }

    pub(super) fn is_public_index(&self, scope: &Scope) -> bool {
        match &self.public_index {
            Some(base) => base.scope() == scope,
            None => false,
        }
    }

    /// The index that the parent follows GitLab to: its files are served, and it has no pages of
    /// its own, neither here nor there.
    pub(super) fn parents_public_index(&self) -> Option<&Scope> {
        self.parents_public_index.as_ref()
    }

    pub(super) fn private(&self) -> &PrivateNames {
        &self.private
    }

    pub(super) fn mirror(&self, scope: &Scope) -> Option<&MirrorSource> {
        if !scope.is_mirror() {
            return None;
        }
        self.mirrors.get(scope)
    }

    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    pub(super) fn serves(&self, scope: &Scope) -> bool {
        match self.mirror(scope) {
            Some(mirror) => mirror.base.index().is_some(),
            None => !scope.is_mirror(),
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
    /// be configured. Of the public index none counts that is not of the one that was learned, and of
    /// parents none of a parent that is none any more.
    pub(super) fn links_of(&self, scope: &Scope, url: &str) -> Option<LinkPolicy> {
        if is_portable(url) {
            return Some(self.portable.clone());
        }
        if self.is_public_index(scope) {
            let index = self.public_index.as_ref()?.index()?;
            // Its redirects are followed within the origins that it began with.
            let came_from = Url::parse(url).ok()?.origin();
            let places = self.public_index.as_ref()?.places_beside_taken_hosts();
            if index.origin() != came_from
                && !places.iter().any(|place| place.origin() == came_from)
            {
                return None;
            }
        }
        let came_from = Url::parse(url).ok()?;
        let is_known = match self.mirror(scope) {
            Some(mirror) => mirror.base.is_of(&came_from),
            None => self.bases.are_of(&came_from),
        };
        if !is_known {
            return None;
        }
        self.links(scope).cloned()
    }

    /// The format to ask for where a client wants `wanted`. Only JSON is sure to carry upload
    /// times, which a minimum age needs; GitLab's own pages carry none in either.
    pub(super) fn asked_format(&self, scope: &Scope, wanted: Format) -> Format {
        match self.policies.age(scope) {
            Some(_) if scope.is_mirror() || self.has_parent => Format::Json,
            Some(_) | None => wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Base;

    #[test]
    fn a_stored_page_of_the_public_index_counts_wherever_its_redirects_may_lead()
    -> Result<(), Box<dyn std::error::Error>> {
        let scope = Scope::mirror("public-index").ok_or("a scope")?;
        let listed = vec![Url::parse("https://other.example")?];
        let base = MirrorBase::unknown(scope.clone(), listed);
        base.learn(&Url::parse("https://index.example/simple/")?);
        let public = MirrorPages {
            base,
            ttl: Duration::ZERO,
            is_public_index: true,
            audience: None,
        };
        let bases = Bases::new(Base::parse("https://gitlab.example.com")?, Vec::new());
        let sources = PageSources::new(
            bases,
            [public],
            PrivateNames::default(),
            Policies::default(),
            "",
        );
        for (url, counts) in [
            ("https://index.example/simple/a/", true),
            ("https://index.example/root/a/", true),
            ("https://other.example/simple/a/", true),
            ("https://index.example.evil.example/simple/a/", false),
            ("https://index.example:8443/simple/a/", false),
            ("https://former.example/simple/a/", false),
            ("no url", false),
        ] {
            assert_eq!(sources.links_of(&scope, url).is_some(), counts, "{url}");
        }
        Ok(())
    }
}
