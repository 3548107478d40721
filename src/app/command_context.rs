//! The configuration as those commands need it that speak of addresses: understood, and nothing
//! opened.
//!
//! Must not know what a command says of it.

use std::path::PathBuf;

use url::Url;

use super::address::{self, Address, NoAddress};
use super::advisories::{read_records, rule};
use super::error::StartError;
use super::mirrors::{known_mirrors, learned_facts};
use super::settings::{bases, private_names, sources};
use crate::access::AuthConfig;
use crate::app::config::Config;
use crate::file::MetadataConfig;
use crate::index::{IndexConfig, PageSources};
use crate::registry::{AdvisoryRule, Bases, MirrorBase, PrivateNames, Route, Scope};
use crate::store::AdvisoryError;
use crate::upstream::{
    GitLabConfig, MirrorConfig, ProxyEnvironment, SharedStoreConfig, parents_in_order,
    proxy_towards,
};

/// The configuration, understood as the daemon understands it.
pub struct CommandContext {
    pub listen: String,
    pub offline: bool,
    /// Empty: none is configured.
    pub public_url: String,
    pub path_prefix: String,
    pub cache_dir: PathBuf,
    /// The larders that are asked in GitLab's place.
    pub parents: Vec<String>,
    pub gitlab: GitLabConfig,
    pub bases: Bases,
    /// Each with its section. The last is the index that GitLab points to, if it was learned.
    pub mirrors: Vec<(MirrorBase, MirrorConfig)>,
    pub private: PrivateNames,
    pub sources: PageSources,
    pub index: IndexConfig,
    pub metadata: MetadataConfig,
    pub shared_store: SharedStoreConfig,
    pub auth: AuthConfig,
    pub proxies: ProxyEnvironment,
}

impl CommandContext {
    pub fn mirror(&self, scope: &Scope) -> Option<&(MirrorBase, MirrorConfig)> {
        self.mirrors.iter().find(|(base, _)| base.scope() == scope)
    }

    /// The route that a URL of larder's, GitLab's or a mirror's is served under. What is only given
    /// in GitLab's place has none.
    pub fn route(&self, url: &Url) -> Option<Route> {
        let route = self.address(url.as_str()).ok()?.route.ok()?;
        match route.scope() {
            Some(scope) if scope.is_mirror() && !self.is_served(scope) => None,
            _ => Some(route),
        }
    }

    /// Whether a mirror's pages have an address.
    pub fn is_served(&self, mirror: &Scope) -> bool {
        self.mirror(mirror)
            .is_some_and(|(base, _)| base.has_pages())
    }

    /// The path of larder's that a path or a URL of larder's, GitLab's or a mirror's means,
    /// whatever is there.
    pub fn path(&self, text: &str) -> Option<String> {
        Some(self.address(text).ok()?.path)
    }

    /// What a path or a URL of larder's, GitLab's or a mirror's means.
    ///
    /// # Errors
    /// When it is neither.
    pub fn address(&self, text: &str) -> Result<Address, NoAddress> {
        address::read(text, &self.bases, self.mirror_bases(), &self.path_prefix)
    }

    pub fn mirror_bases(&self) -> impl Iterator<Item = &MirrorBase> {
        self.mirrors.iter().map(|(base, _)| base)
    }

    /// The proxy by way of which a route is asked for.
    pub fn proxy(&self, route: &Route) -> Option<String> {
        if self.offline {
            return None;
        }
        let scope = route.scope()?;
        let url = Url::parse(&self.url(route)?).ok()?;
        let setting = match self.mirror(scope) {
            Some((_, mirror)) => &mirror.proxy,
            None => &self.gitlab.proxy,
        };
        proxy_towards(&url, setting, &self.proxies)
    }

    /// The URL that is asked for a route.
    pub fn url(&self, route: &Route) -> Option<String> {
        let scope = route.scope()?;
        let first = match scope.is_mirror() {
            true => self.mirror(scope)?.0.url(route).map(String::from)?,
            false => self.bases.asked().url(route).into(),
        };
        let Some(order) = self.parents_of(route) else {
            return Some(first);
        };
        // The first of the list stands for all where there is one address for what they serve.
        match (
            self.parents.iter().find(|url| first.starts_with(*url)),
            order.first(),
        ) {
            (Some(named), Some(home)) => Some(first.replacen(named, home, 1)),
            _ => Some(first),
        }
    }

    /// The parents that may be asked for a route, in their order; none if no parent is.
    pub fn parents_of(&self, route: &Route) -> Option<Vec<&str>> {
        let scope = route.scope()?;
        let mirror = self.mirror(scope);
        let mut serving: Vec<&str> = self.parents.iter().map(String::as_str).collect();
        if let Some((base, _)) = mirror {
            serving.retain(|parent| base.is_parents() && base.is_served_at(parent));
        }
        if serving.is_empty() {
            return None;
        }
        let order = parents_in_order(serving.iter().copied(), route);
        Some(order.into_iter().map(|place| serving[place]).collect())
    }
}

/// The configuration for a command.
///
/// # Errors
/// What is wrong with the configuration.
pub fn command_context(config: &Config) -> Result<CommandContext, StartError> {
    context_with(config, AdvisoryRule::default())
}

/// The same, with the records of advisories read, for a command that judges files; and why they
/// cannot be, if so.
///
/// # Errors
/// What is wrong with the configuration.
pub fn judging_context(
    config: &Config,
) -> Result<(CommandContext, Option<AdvisoryError>), StartError> {
    let (records, fault) = match read_records(config) {
        Ok(records) => (records, None),
        Err(why) => (None, Some(why)),
    };
    let rule = rule(config, records.as_deref());
    Ok((context_with(config, rule)?, fault))
}

fn context_with(config: &Config, advisories: AdvisoryRule) -> Result<CommandContext, StartError> {
    let facts = learned_facts(config);
    let known = known_mirrors(config, &facts)?;
    let sources = sources(config, &known, &facts, advisories)?;
    let mut mirrors = Vec::new();
    for mirror in known {
        if mirror.base.index().is_some() {
            mirrors.push((mirror.base, mirror.section));
        }
    }
    Ok(CommandContext {
        listen: config.first_address(),
        offline: config.offline,
        public_url: config.public_url.clone(),
        path_prefix: config.path_prefix(),
        cache_dir: config.cache_dir()?,
        parents: config.parents(),
        gitlab: config.gitlab.clone(),
        mirrors,
        private: private_names(config)?,
        sources,
        bases: bases(config)?,
        index: config.index.clone(),
        metadata: config.metadata,
        shared_store: config.shared_store.clone(),
        auth: config.auth.clone(),
        proxies: ProxyEnvironment::of_process(),
    })
}
