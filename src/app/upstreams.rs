//! The upstreams that the configuration names, constructed.
//!
//! Must not know what they are asked.

use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use url::Url;

use super::error::StartError;
use super::mirrors::{KnownMirror, forward_origins};
use super::token_file::{read_token, token};
use crate::access::Credential;
use crate::app::config::Config;
use crate::registry::{Bases, MirrorBase};
use crate::upstream::{
    AllowedOrigins, FLEET_KEY_BYTES_MIN, FleetKey, IndexTrial, Mirror, MirrorConfig,
    ProxyEnvironment, SharedStore, SharedStoreSecrets, SystemRoots, Transport, TransportConfig,
    Upstream,
};
use crate::values::secret::Secret;

/// All upstreams; offline none can be asked, and what only they would need is not even opened.
pub fn upstreams(
    config: &Config,
    bases: &Bases,
    via: &HeaderValue,
    service_token: bool,
    known: &[KnownMirror],
) -> Result<Upstream, StartError> {
    let system = SystemRoots::default();
    let mut mirrors = Vec::new();
    let gitlab = if config.offline {
        let environment = ProxyEnvironment::of_process();
        transport("gitlab", &TransportConfig::UNUSED, &environment, &system)?
    } else {
        let opened = transports(config, known, &system)?;
        announce_all(config, bases, known, &opened)?;
        for (known, transport) in known.iter().zip(&opened.mirrors) {
            if !known.is_public_index {
                mirrors.push(mirror(&known.base, &known.section, transport, via)?);
                for (base, section) in &known.stand_ins {
                    mirrors.push(mirror(base, section, transport, via)?);
                }
            }
        }
        opened.gitlab
    };
    let stores = AllowedOrigins::parse(&config.gitlab.object_storage_origins)
        .map_err(StartError::Setting)?;
    let upstream = Upstream::new(
        &config.gitlab,
        &gitlab,
        bases.clone(),
        stores,
        via.clone(),
        service_token,
    )
    .map_err(|why| StartError::Setting(format!("gitlab: {why}")))?;
    let mut upstream = upstream
        .offline(config.offline)
        .with_mirrors(mirrors)
        .with_shared_store(shared_store(config, &system)?);
    if config.has_parent() {
        upstream = upstream.under_parents();
    }
    for known in known {
        if known.is_public_index {
            let trial = IndexTrial {
                scope: known.base.scope().clone(),
                config: known.section.clone(),
                transport: gitlab,
                origins: Arc::new(forward_origins(config)?),
                via: via.clone(),
            };
            let followed = upstream.with_public_index(known.base.clone(), trial);
            return followed.map_err(|why| StartError::Setting(format!("gitlab: {why}")));
        }
    }
    Ok(upstream)
}

/// Where each upstream is reached.
fn announce_all(
    config: &Config,
    bases: &Bases,
    known: &[KnownMirror],
    opened: &Transports,
) -> Result<(), StartError> {
    let mut encrypted = Vec::new();
    for (known, transport) in known.iter().zip(&opened.mirrors) {
        if !known.is_public_index {
            announce_mirror(known, transport, &mut encrypted);
        }
    }
    for bases in bases.seen_from_each() {
        let url = gitlab_url(&bases)?;
        announce(first_section(config), &opened.gitlab, &url, &mut encrypted);
    }
    look_for_roots(encrypted);
    Ok(())
}

/// Where a mirror of the configuration is reached; the parent's are reached as the parent is.
fn announce_mirror(known: &KnownMirror, transport: &Transport, encrypted: &mut Vec<EncryptedWay>) {
    let Some(index) = known.base.index() else {
        return;
    };
    if !known.base.is_parents() {
        let section = format!("mirrors.{}", known.base);
        announce(&section, transport, index, encrypted);
    }
}

/// What says where the first upstream is.
fn first_section(config: &Config) -> &'static str {
    match config.has_parent() {
        true => "parent",
        false => "gitlab",
    }
}

/// The bucket that the fleet shares, if there is one; offline it is not asked.
pub fn shared_store(
    config: &Config,
    system: &SystemRoots,
) -> Result<Option<SharedStore>, StartError> {
    let section = &config.shared_store;
    if config.offline || !section.is_set() {
        return Ok(None);
    }
    let environment = ProxyEnvironment::of_process();
    let transport = transport("shared_store", &section.transport(), &environment, system)?;
    let secret = |key: &str, path: &str| {
        let token = read_token(&format!("shared_store.{key}"), Path::new(path))?;
        Ok::<_, StartError>(Secret::new(token.as_slice()))
    };
    let mut access_key = None;
    if !section.access_key_id_file.is_empty() {
        let id = secret("access_key_id_file", &section.access_key_id_file)?;
        let key = secret("secret_access_key_file", &section.secret_access_key_file)?;
        access_key = Some((id, key));
    }
    let fleet_key = secret("fleet_key_file", &section.fleet_key_file)?;
    let Some(fleet_key) = FleetKey::new(&fleet_key) else {
        return Err(StartError::Setting(format!(
            "shared_store.fleet_key_file: {}: holds fewer than {FLEET_KEY_BYTES_MIN} characters, and could be guessed",
            section.fleet_key_file
        )));
    };
    let secrets = SharedStoreSecrets {
        access_key,
        fleet_key,
    };
    let opened = SharedStore::new(section.clone(), &transport, secrets);
    let store = opened.map_err(|why| StartError::Setting(format!("shared_store.{why}")))?;
    Ok(Some(store))
}

/// How each peer is reached.
pub struct Transports {
    pub gitlab: Transport,
    /// In the order of the mirrors that are known.
    pub mirrors: Vec<Transport>,
}

pub fn transports(
    config: &Config,
    known: &[KnownMirror],
    system: &SystemRoots,
) -> Result<Transports, StartError> {
    let environment = ProxyEnvironment::of_process();
    let gitlab = transport("gitlab", &config.gitlab.transport(), &environment, system)?;
    let mut mirrors = Vec::new();
    for mirror in known {
        if mirror.is_public_index || mirror.base.is_parents() {
            mirrors.push(gitlab.clone());
            continue;
        }
        let title = format!("mirrors.{}", mirror.base);
        let section = mirror.section.transport();
        mirrors.push(transport(&title, &section, &environment, system)?);
    }
    Ok(Transports { gitlab, mirrors })
}

/// How the peer of a section is reached; its files are opened.
pub fn transport(
    section: &str,
    config: &TransportConfig<'_>,
    environment: &ProxyEnvironment,
    system: &SystemRoots,
) -> Result<Transport, StartError> {
    let mut credential = None;
    if !config.proxy_credential_file.is_empty() {
        let key = format!("{section}.proxy_credential_file");
        let pair = read_token(&key, Path::new(config.proxy_credential_file))?;
        credential = Some(Secret::new(pair.as_slice()));
    }
    Transport::open(config, credential.as_ref(), environment, system)
        .map_err(|why| StartError::Setting(format!("{section}.{why}")))
}

/// The way to a peer over TLS.
struct EncryptedWay {
    section: String,
    transport: Transport,
    url: Url,
}

/// Says which of them cannot be gone. For that the system's trusted roots are read, which the first
/// connection will need; nothing waits for it.
fn look_for_roots(encrypted: Vec<EncryptedWay>) {
    if encrypted.is_empty() {
        return;
    }
    let look = move || {
        for way in encrypted {
            if let Some(why) = way.transport.lack(&way.url) {
                let upstream = way.section;
                tracing::warn!(upstream, error = %why, "this upstream cannot be reached");
            }
        }
    };
    let thread = std::thread::Builder::new().name("roots".to_owned());
    if let Err(why) = thread.spawn(look) {
        tracing::warn!(error = %why, "no thread to look at the system's trusted certificates");
    }
}

/// What an operator has to know of the way to a peer, once; of one over TLS more is looked at later.
fn announce(section: &str, transport: &Transport, url: &Url, encrypted: &mut Vec<EncryptedWay>) {
    if let Some(proxy) = transport.proxy(url) {
        tracing::info!(upstream = section, %proxy, "this upstream is reached through a proxy");
    }
    if url.scheme() == "https" {
        encrypted.push(EncryptedWay {
            section: section.to_owned(),
            transport: transport.clone(),
            url: url.clone(),
        });
    }
}

pub fn gitlab_url(bases: &Bases) -> Result<Url, StartError> {
    let url = bases.asked().to_string();
    Url::parse(&url).map_err(|why| StartError::Setting(format!("gitlab.url: {why}")))
}

fn mirror(
    base: &MirrorBase,
    section: &MirrorConfig,
    transport: &Transport,
    via: &HeaderValue,
) -> Result<Mirror, StartError> {
    let title = format!("mirrors.{base}");
    let username = match section.username.as_str() {
        "" => None,
        username => Some(username),
    };
    let credential = match token(&title, &section.token_file)? {
        Some(token) => Credential::mirror(username, &token),
        None => Credential::default(),
    };
    Mirror::new(base.clone(), section, transport, credential, via.clone())
        .map_err(|why| StartError::Setting(format!("{title}.{why}")))
}
