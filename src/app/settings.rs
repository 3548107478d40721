//! What the services want to know of the configuration, in their own types.
//!
//! Must not start anything.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::error::StartError;
use super::mirrors::KnownMirror;
use super::token_file::{read_token, token};
use crate::access::{Credential, OfflineKeys};
use crate::admin::{Lifetimes, StatusSettings};
use crate::app::config::Config;
use crate::index::{MirrorPages, PageSources};
use crate::registry::policy::{AgeRule, Policies, PolicyException};
use crate::registry::{AdvisoryRule, Base, Bases, PrivateNames, Scope, Swap};
use crate::server::{Certificates, ListenAddress};
use crate::store::LearnedFacts;
use crate::upstream::{PUBLIC_INDEX, UnhashedFiles};
use crate::values::secret_file::SecretFile;
use crate::values::validity::Validity;

/// The GitLab that is asked, or the parents in its place; none offline.
pub fn asked_gitlab(config: &Config) -> Result<Option<String>, StartError> {
    if config.offline {
        return Ok(None);
    }
    if config.has_parent() {
        return Ok(Some(config.parents().join(", ")));
    }
    Ok(Some(bases(config)?.asked().to_string()))
}

/// Whose URL one is, for lock files; with what is learned of mirrors from now on.
pub fn swap(config: &Config, mirrors: &[KnownMirror]) -> Result<Swap, StartError> {
    let mut mirror_bases = Vec::new();
    for mirror in mirrors {
        mirror_bases.push(mirror.base.clone());
    }
    Ok(Swap {
        bases: bases(config)?,
        mirrors: mirror_bases,
        own_bases: Base::parse(&config.public_url).into_iter().collect(),
    })
}

/// The mirrors whose files without a sha256 are kept.
pub fn mirrors_kept_unhashed(config: &Config) -> HashSet<Scope> {
    let mut kept = HashSet::new();
    for (name, mirror) in &config.mirrors {
        if mirror.unhashed_files == UnhashedFiles::Store {
            kept.extend(Scope::mirror(name));
        }
    }
    // Its pages are given in GitLab's place alone, and a file may be asked for before any of them: the
    // parent has verified it.
    if config.has_parent() {
        kept.extend(Scope::mirror(PUBLIC_INDEX));
    }
    kept
}

/// The certificate and key of `[tls]`, if there are any.
pub fn certificates(config: &Config) -> Result<Option<Arc<Certificates>>, StartError> {
    if !config.tls.has_certificate() {
        return Ok(None);
    }
    let opened = Certificates::open(&config.tls).map_err(StartError::setting)?;
    Ok(Some(opened))
}

/// The dates of the certificate of `[tls]`, if there is one and they can be read.
///
/// # Errors
/// When it or its key is no good.
pub fn certificate_validity(config: &Config) -> Result<Option<Validity>, StartError> {
    if !config.tls.has_certificate() {
        return Ok(None);
    }
    Certificates::check(&config.tls).map_err(StartError::setting)
}

pub fn bases(config: &Config) -> Result<Bases, StartError> {
    let base = |key: &str, url: &str| {
        Base::parse(url).map_err(|why| StartError::Setting(format!("gitlab.{key}: {why}")))
    };
    let mut others = Vec::new();
    for url in &config.gitlab.external_urls {
        others.push(base("external_urls", url)?);
    }
    let mut parents = Vec::new();
    for url in config.parents() {
        let why = |why| StartError::Setting(format!("parent: {why}"));
        parents.push(Base::parse(&url).map_err(why)?);
    }
    let bases = Bases::new(base("url", &config.gitlab.url)?, others);
    Ok(bases.of_parents(parents))
}

pub fn private_names(config: &Config) -> Result<PrivateNames, StartError> {
    PrivateNames::parse(&config.private_packages).map_err(StartError::setting)
}

/// The credential that only GitLab's packages API is shown, if there is one. Offline it is not even
/// read.
pub fn dates_credential(config: &Config) -> Result<Option<Credential>, StartError> {
    if config.offline || config.gitlab.dates_token_file.is_empty() {
        return Ok(None);
    }
    let path = Path::new(&config.gitlab.dates_token_file);
    let token = read_token("gitlab.dates_token_file", path)?;
    Ok(Some(Credential::service(&token)))
}

/// The operator's own credential, if there is one. Offline it is not even read.
pub fn service_credential(config: &Config) -> Result<Option<Credential>, StartError> {
    if config.offline {
        return Ok(None);
    }
    let token = token("gitlab", &config.gitlab.token_file)?;
    Ok(token.map(|token| Credential::service(&token)))
}

/// The users and tokens that get GitLab's packages offline.
pub fn offline_keys(config: &Config) -> Result<OfflineKeys, StartError> {
    let auth = &config.auth;
    let mut keys = OfflineKeys::new(auth.offline);
    if !auth.offline_users.is_empty() {
        let add = |text: &[u8]| keys.with_users(text);
        keys = with_file("auth.offline_users", &auth.offline_users, add)?;
    }
    if !auth.offline_tokens.is_empty() {
        let add = |text: &[u8]| keys.with_tokens(text);
        keys = with_file("auth.offline_tokens", &auth.offline_tokens, add)?;
    }
    Ok(keys)
}

/// What is made of a file that a key names.
fn with_file<T, E: Display>(
    key: &str,
    path: &str,
    make: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<T, StartError> {
    let fault = |why: &dyn Display| StartError::Setting(format!("{key}: {path}: {why}"));
    let file = SecretFile::read(Path::new(path)).map_err(|why| fault(&why))?;
    make(&file.text).map_err(|why| fault(&why))
}

/// What files are judged by. What GitLab points to has no section of its own, and goes by GitLab's.
fn policies(
    config: &Config,
    known: &[KnownMirror],
    facts: &LearnedFacts,
    advisories: AdvisoryRule,
) -> Policies {
    let gitlab = AgeRule {
        min_age: config.gitlab.min_age.0,
        undated: config.gitlab.undated,
        section: "gitlab".into(),
    };
    let mut mirrors = HashMap::new();
    for mirror in known {
        let is_gitlabs = mirror.base.to_string() == PUBLIC_INDEX;
        let rule = if is_gitlabs {
            gitlab.clone()
        } else {
            AgeRule {
                min_age: mirror.section.min_age.0,
                undated: mirror.section.undated,
                section: format!("mirrors.{}", mirror.base).into(),
            }
        };
        mirrors.insert(mirror.base.scope().clone(), rule);
    }
    let mut exceptions = config.exceptions();
    for brought in &facts.exceptions {
        let own = exceptions.iter().any(|own| own.written == *brought);
        if let Ok(exception) = PolicyException::parse(brought)
            && !own
        {
            exceptions.push(Arc::new(exception));
        }
    }
    Policies {
        gitlab,
        mirrors,
        advisories,
        exceptions,
    }
}

/// What the index has to know of GitLab and of each mirror.
pub fn sources(
    config: &Config,
    known: &[KnownMirror],
    facts: &LearnedFacts,
    advisories: AdvisoryRule,
) -> Result<PageSources, StartError> {
    let mut mirrors = Vec::new();
    for mirror in known {
        mirrors.push(MirrorPages {
            base: mirror.base.clone(),
            ttl: mirror.section.ttl.0,
            is_public_index: mirror.is_public_index,
            audience: Scope::named(&mirror.section.audience),
        });
    }
    let private = private_names(config)?;
    let prefix = config.path_prefix();
    let policies = policies(config, known, facts, advisories);
    let bases = bases(config)?;
    let sources = PageSources::new(bases, mirrors, private, policies, &prefix);
    let mut views = Vec::new();
    for view in &config.views {
        let view = view.view();
        views.push(view.map_err(|why| StartError::Setting(format!("views: {why}")))?);
    }
    Ok(sources.under_parent(config.has_parent()).with_views(views))
}

/// What the status page shows of the configuration and of the sockets that were opened.
pub fn status_settings(
    config: &Config,
    known: &[KnownMirror],
    begun: Instant,
    opened: &[ListenAddress],
) -> StatusSettings {
    let mut listen = Vec::new();
    for address in opened {
        listen.push(match address {
            ListenAddress::Tcp(address) => address.clone(),
            // Without a path of the disk.
            ListenAddress::Unix(_) => "unix socket".to_owned(),
        });
    }
    let mut mirrors = Vec::new();
    for mirror in known {
        let scope = mirror.base.scope();
        // That of GitLab's redirects is given in GitLab's place alone.
        if scope.to_string() != PUBLIC_INDEX {
            mirrors.push(scope.clone());
        }
    }
    mirrors.sort();
    StatusSettings {
        begun,
        listen,
        public_url: config.public_url.clone(),
        path_prefix: config.path_prefix(),
        mirrors,
        lifetimes: Lifetimes {
            auth_cache_ttl_seconds: config.auth.cache_ttl.0.as_secs(),
            ttl_seconds: config.index.ttl.0.as_secs(),
            stale_if_error_seconds: config.index.stale_if_error.0.as_secs(),
        },
    }
}
