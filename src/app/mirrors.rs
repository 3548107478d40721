//! The mirrors of a configuration, and the index that GitLab points to, with what was learned of
//! them.
//!
//! What was noted is judged anew by the configuration of now. Must not ask anything.

use std::collections::BTreeMap;

use url::Url;

use super::error::StartError;
use crate::app::config::Config;
use crate::registry::{Base, MirrorBase, Scope};
use crate::store::{LearnedFacts, ParentFacts, Peek};
use crate::upstream::{AllowedOrigins, Forward, MirrorConfig, PUBLIC_INDEX, may_follow, may_take};

/// A mirror, with its section.
pub struct KnownMirror {
    pub base: MirrorBase,
    pub section: MirrorConfig,
    /// Where further parents have the same mirror.
    pub stand_ins: Vec<(MirrorBase, MirrorConfig)>,
    /// It has no section: it is the index that GitLab points to, learned or not.
    pub is_public_index: bool,
}

/// In the order of their names, those of the parent after them, the index that GitLab points to
/// last, if it is followed.
pub fn known_mirrors(
    config: &Config,
    facts: &LearnedFacts,
) -> Result<Vec<KnownMirror>, StartError> {
    let mut all = Vec::new();
    for (name, section) in &config.mirrors {
        all.push(KnownMirror {
            base: mirror_base(name, section)?,
            section: section.clone(),
            stand_ins: Vec::new(),
            is_public_index: false,
        });
    }
    add_parents_mirrors(config, facts, &mut all)?;
    if config.gitlab.forward == Forward::Follow {
        let base = public_index(config, facts, &all)?;
        all.push(KnownMirror {
            base,
            section: public_index_section(config),
            stand_ins: Vec::new(),
            is_public_index: true,
        });
    }
    for mirror in &all {
        take_noted_hosts(&mirror.base, facts);
    }
    Ok(all)
}

/// Learned already, if it was noted, may be asked still, and is no mirror that an operator named.
fn public_index(
    config: &Config,
    facts: &LearnedFacts,
    named: &[KnownMirror],
) -> Result<MirrorBase, StartError> {
    let origins = forward_origins(config)?;
    let scope = Scope::mirror(PUBLIC_INDEX)
        .ok_or_else(|| StartError::Setting(format!("{PUBLIC_INDEX}: no such name")))?;
    let base = MirrorBase::unknown(scope, origins.urls().to_vec()).without_pages();
    let gitlab = gitlab_url(config)?;
    let Some(noted) = facts.public_indexes.get(&gitlab) else {
        return Ok(base);
    };
    let Ok(index) = Url::parse(noted) else {
        return Ok(base);
    };
    let is_named = named
        .iter()
        .any(|mirror| mirror.base.index() == Some(&index));
    if may_follow(&index, &origins) && !is_named {
        base.learn(&index);
    }
    Ok(base)
}

/// Where GitLab's redirects to a public index lead, in words; none if they are not followed.
///
/// # Errors
/// What is wrong with the configuration.
pub fn public_index_in_words(config: &Config) -> Result<Option<String>, StartError> {
    if config.gitlab.forward != Forward::Follow {
        return Ok(None);
    }
    let gitlab = gitlab_url(config)?;
    let facts = learned_facts(config);
    let Some(index) = facts.public_indexes.get(&gitlab) else {
        let unknown = "where to is not known yet: GitLab's first redirect tells";
        return Ok(Some(unknown.to_owned()));
    };
    for mirror in known_mirrors(config, &facts)? {
        if mirror.base.index().map(Url::as_str) == Some(index) {
            let base = mirror.base;
            return Ok(Some(format!(
                "to {index}, learned of GitLab; files are below /{base}/"
            )));
        }
    }
    let refused = format!("{index} was learned, and gitlab.forward_origins does not allow it");
    Ok(Some(refused))
}

/// What a daemon has learned in the cache folder, if there is one.
pub fn learned_facts(config: &Config) -> LearnedFacts {
    let Ok(folder) = config.cache_dir() else {
        return LearnedFacts::default();
    };
    match Peek::at(&folder) {
        Some(peek) => peek.learned(),
        None => LearnedFacts::default(),
    }
}

/// The GitLab of which things are learned, as it is noted.
fn gitlab_url(config: &Config) -> Result<String, StartError> {
    let base = Base::parse(&config.gitlab.url);
    let base = base.map_err(|why| StartError::Setting(format!("gitlab.url: {why}")))?;
    Ok(base.to_string())
}

fn mirror_scope(name: &str) -> Result<Scope, StartError> {
    Scope::mirror(name).ok_or_else(|| StartError::Setting(format!("mirrors.{name}: no such name")))
}

pub fn mirror_base(name: &str, section: &MirrorConfig) -> Result<MirrorBase, StartError> {
    MirrorBase::parse(mirror_scope(name)?, &section.url, &section.file_urls)
        .map_err(|(url, why)| StartError::Setting(format!("mirrors.{name}: \"{url}\": {why}")))
}

/// The origins of `gitlab.forward_origins`.
pub fn forward_origins(config: &Config) -> Result<AllowedOrigins, StartError> {
    AllowedOrigins::parse(&config.gitlab.forward_origins)
        .map_err(|text| StartError::Setting(format!("gitlab.forward_origins: \"{text}\"")))
}

/// Adds those that a parent serves, as far as it is known, under the same names; each is asked of
/// the parents that serve it. A section of the same name stands in their place.
fn add_parents_mirrors(
    config: &Config,
    facts: &LearnedFacts,
    all: &mut Vec<KnownMirror>,
) -> Result<(), StartError> {
    let mut servers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for parent in config.parents() {
        let Some(serves) = facts.parents.get(&parent) else {
            continue;
        };
        for name in served_names(serves) {
            servers.entry(name).or_default().push(parent.clone());
        }
    }
    for (name, parents) in &servers {
        let is_usable = name == PUBLIC_INDEX || !Forward::is_taken(name);
        if config.mirrors.contains_key(name) || Scope::mirror(name).is_none() || !is_usable {
            continue;
        }
        let mut stand_ins = Vec::new();
        let mut bases = Vec::new();
        for parent in parents {
            let section = parents_section(config, parent, name);
            let mut base = mirror_base(name, &section)?.of_parent();
            if name == PUBLIC_INDEX {
                base = base.without_pages();
            }
            bases.push(base.clone());
            stand_ins.push((base, section));
        }
        // A name is there because one serves it at least.
        let (base, section) = stand_ins.remove(0);
        all.push(KnownMirror {
            base: base.standing_for(&bases),
            section,
            stand_ins,
            is_public_index: false,
        });
    }
    Ok(())
}

/// The names of what a parent serves beside GitLab's packages.
pub(super) fn served_names(serves: &ParentFacts) -> Vec<String> {
    let mut names = serves.mirrors.clone();
    if serves.has_public_index {
        names.push(PUBLIC_INDEX.to_owned());
    }
    names
}

/// Whether no parent was ever heard of, so that their mirrors are not known.
pub(super) fn awaits_parent(config: &Config, facts: &LearnedFacts) -> bool {
    let parents = config.parents();
    !parents.is_empty()
        && !parents
            .iter()
            .any(|parent| facts.parents.contains_key(parent))
}

/// A mirror of the parent's, reached as the parent is. Its pages are as fresh as GitLab's, because
/// to ask the parent is cheap, and it has a lifetime for them of its own.
fn parents_section(config: &Config, parent: &str, name: &str) -> MirrorConfig {
    let gitlab = &config.gitlab;
    MirrorConfig {
        url: format!("{parent}/{name}/simple/"),
        file_urls: vec![format!("{parent}/{name}/")],
        ttl: config.index.ttl,
        ca_file: gitlab.ca_file.clone(),
        pin_sha256: gitlab.pin_sha256.clone(),
        client_certificate: gitlab.client_certificate.clone(),
        client_key: gitlab.client_key.clone(),
        proxy: gitlab.proxy.clone(),
        proxy_credential_file: gitlab.proxy_credential_file.clone(),
        ..public_index_section(config)
    }
}

/// A mirror's defaults, with GitLab's waits.
fn public_index_section(config: &Config) -> MirrorConfig {
    let gitlab = &config.gitlab;
    MirrorConfig {
        connect_timeout: gitlab.connect_timeout,
        header_timeout: gitlab.header_timeout,
        idle_timeout: gitlab.idle_timeout,
        retries: gitlab.retries,
        retry_after: gitlab.retry_after,
        breaker_failures: gitlab.breaker_failures,
        breaker_open_for: gitlab.breaker_open_for,
        idle_connections: gitlab.idle_connections,
        ..MirrorConfig::default()
    }
}

fn take_noted_hosts(base: &MirrorBase, facts: &LearnedFacts) {
    let Some(hosts) = base.hosts() else {
        return;
    };
    let Some(index) = base.index() else {
        return;
    };
    for noted in facts.file_hosts.get(index.as_str()).into_iter().flatten() {
        if let Ok(host) = Url::parse(noted)
            && may_take(&host)
        {
            hosts.take(&host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "https://index.example/simple/";

    fn facts(index: &str) -> LearnedFacts {
        let mut facts = LearnedFacts::default();
        let gitlab = Config::default().gitlab.url;
        facts.public_indexes.insert(gitlab, index.to_owned());
        let hosts = [
            "https://files.example/",
            "http://files.example/",
            "no url",
            "https://10.0.0.5/",
            "https://169.254.169.254/",
            "https://localhost:8443/",
            "https://files.internal/",
        ];
        let hosts = hosts.map(ToOwned::to_owned).to_vec();
        facts.file_hosts.insert(index.to_owned(), hosts);
        facts
    }

    fn learned(config: &Config, index: &str) -> Option<(String, usize)> {
        let all = known_mirrors(config, &facts(index)).ok()?;
        let last = all.iter().find(|mirror| mirror.is_public_index)?;
        Some((last.base.index()?.to_string(), last.base.places().len()))
    }

    #[test]
    fn what_was_noted_counts_as_far_as_the_configuration_allows_it() {
        let mut config = Config::default();
        assert_eq!(learned(&config, INDEX), Some((INDEX.to_owned(), 3)));
        assert_eq!(learned(&config, "http://index.example/simple/"), None);
        assert_eq!(learned(&config, "https://10.0.0.1/simple/"), None);
        assert_eq!(learned(&config, "https://localhost/simple/"), None);
        assert_eq!(learned(&config, "https://index.internal/simple/"), None);
        assert_eq!(learned(&config, "not a URL"), None);
        config.gitlab.forward_origins = vec!["https://other.example".to_owned()];
        assert_eq!(learned(&config, INDEX), None);
        config.gitlab.forward_origins.clear();
        let named = MirrorConfig {
            url: INDEX.to_owned(),
            ..MirrorConfig::default()
        };
        config.mirrors.insert("pypi".to_owned(), named);
        assert_eq!(
            learned(&config, INDEX),
            None,
            "the mirror answers, with its rules"
        );
        config.mirrors.clear();
        config.gitlab.url = "https://another.example".to_owned();
        assert_eq!(
            learned(&config, INDEX),
            None,
            "it was learned of another GitLab"
        );
        config.gitlab.url = Config::default().gitlab.url;
        config.gitlab.forward = Forward::Pass;
        assert_eq!(learned(&config, INDEX), None);
    }
}
